#include "planning/rank_types.hpp"

#include <algorithm>
#include <map>

#include "base/error.hpp"

namespace sparrow {

namespace {

/// Instances that are alike in all that is below them share one.
struct Likeness {
  int type = 0;
  RankType of_rank;                            ///< of a rank
  std::vector<std::pair<int, int64_t>> below;  ///< (likeness, how many), of an inner domain
  auto operator<=>(const Likeness&) const = default;
};

class Splitter {
 public:
  Splitter(const SystemShape& shape, std::span<const RankType> types)
      : shape_(shape), types_(types), tree_(shape.topology), next_(shape.topology.domains.size(), 0) {}

  placement::Topology run() {
    const Instance root = visit(0);
    placement::Topology result;
    result.name = shape_.topology.name;
    result.rank_of_leaf = root.ranks;
    if (std::is_sorted(root.ranks.begin(), root.ranks.end())) result.rank_of_leaf.clear();
    emit(root.likeness, 1, -1, result);
    name_apart(result);
    return result;
  }

 private:
  struct Instance {
    int likeness = 0;
    std::vector<int> ranks;  ///< below it, in the order of the new tree
  };

  /// The next instance of a type, in tree order.
  Instance visit(int type) {
    const auto number = next_[type]++;
    Likeness like{type, {}, {}};
    Instance result;
    if (tree_.is_rank(type)) {
      result.ranks = shape_.instances[type][number];
      like.of_rank = types_[result.ranks[0]];
    }
    std::vector<Instance> children;
    for (const int child : tree_.children(type))
      for (int64_t i = 0; i < tree_.domain(child).count; ++i) children.push_back(visit(child));
    std::stable_sort(children.begin(), children.end(), [&](const Instance& a, const Instance& b) {
      return std::pair(type_of(a), a.likeness) < std::pair(type_of(b), b.likeness);
    });
    for (const Instance& child : children) {
      if (like.below.empty() || like.below.back().first != child.likeness) like.below.emplace_back(child.likeness, 0);
      ++like.below.back().second;
      result.ranks.insert(result.ranks.end(), child.ranks.begin(), child.ranks.end());
    }
    const auto [at, added] = number_of_.emplace(like, static_cast<int>(likenesses_.size()));
    if (added) likenesses_.push_back(like);
    result.likeness = at->second;
    return result;
  }

  int type_of(const Instance& instance) const { return likenesses_[instance.likeness].type; }

  void emit(int likeness, int64_t count, int parent, placement::Topology& result) {
    const Likeness& like = likenesses_[likeness];
    placement::Domain domain = tree_.domain(like.type);
    domain.parent = parent;
    domain.count = count;
    if (tree_.is_rank(like.type)) {
      domain.batch_weight = like.of_rank.batch_weight;
      domain.access_group = like.of_rank.access_group;
    }
    const auto index = static_cast<int>(result.domains.size());
    result.domains.push_back(std::move(domain));
    for (const auto& [child, of_it] : like.below) emit(child, of_it, index, result);
  }

  /// Types made of one type get a number behind its name.
  static void name_apart(placement::Topology& topology) {
    std::map<std::string, int> of_name, numbered;
    for (const placement::Domain& domain : topology.domains) ++of_name[domain.name];
    for (placement::Domain& domain : topology.domains)
      if (const std::string name = domain.name; of_name[name] > 1)
        domain.name = fmt::format("{}-{}", name, ++numbered[name]);
  }

  const SystemShape& shape_;
  std::span<const RankType> types_;
  const placement::Tree tree_;
  std::vector<size_t> next_;  ///< instance, by type
  std::map<Likeness, int> number_of_;
  std::vector<Likeness> likenesses_;
};

}  // namespace

std::vector<RankType> rank_types(const SystemShape& shape) {
  std::vector<RankType> types;
  for (const int type : shape.rank_type) {
    const placement::Domain& domain = shape.topology.domains[type];
    types.push_back({domain.batch_weight, domain.access_group});
  }
  return types;
}

placement::Topology with_rank_types(const SystemShape& shape, std::span<const RankType> types) {
  SPARROW_CHECK(types.size() == shape.rank_type.size(), "{} types for {} ranks", types.size(), shape.rank_type.size());
  const std::vector<RankType> now = rank_types(shape);
  if (std::equal(now.begin(), now.end(), types.begin())) return shape.topology;
  return Splitter(shape, types).run();
}

}  // namespace sparrow
