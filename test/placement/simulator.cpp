#include "simulator.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <stdexcept>

#include "support.hpp"

namespace sparrow::placement {
namespace {

struct Instance {
  int type, parent;  // parent: index of an instance
  int level;
  std::vector<int> children;
};

class Simulator {
 public:
  Simulator(const Topology& topology, const Workload& workload, std::mt19937_64& random)
      : topology_(topology), workload_(workload), random_(random) {
    grow(0, -1, 0);
    for (const Instance& i : tree_) depth_ = std::max(depth_, i.level);
    for (int i = 0; i < size(); ++i)
      if (at(i).level == depth_) ranks_.push_back(i);
    double weights = 0;
    for (int r : ranks_) weights += type(r).batch_weight;
    for (int r : ranks_) {
      const double batch = static_cast<double>(workload.global_batch) * type(r).batch_weight / weights;
      if (std::abs(batch - std::round(batch)) > 1e-9)
        throw std::logic_error("the test's batches must be whole numbers");
      batch_[r] = static_cast<int64_t>(std::round(batch));
    }
  }

  Simulated run(const std::vector<Option>& options, const std::vector<Transport>& transports) {
    for (size_t t = 0; t < options.size(); ++t) table(static_cast<int>(t), options[t], transports[t]);
    Simulated result;
    std::map<int, double> instances;
    for (const Instance& i : tree_) ++instances[i.type];
    for (const auto& [key, bytes] : bytes_) {
      const auto& [flow, stage, instance, direction] = key;
      result.bytes[{flow, stage, at(instance).type, direction}] += bytes / instances[at(instance).type];
    }
    for (const auto& [rank, rows] : distinct_) result.distinct_rows[at(rank).type] += rows / instances[at(rank).type];
    result.pairs = pairs_;
    return result;
  }

  Traced run(const Plan& plan, int64_t turn) {
    first_turn_ = turn;
    for (int t = 0; t < static_cast<int>(plan.tables.size()); ++t) planned_table(t, plan);
    Traced result{bytes_, {}};
    for (const Instance& i : tree_) result.type.push_back(i.type);
    return result;
  }

 private:
  int size() const { return static_cast<int>(tree_.size()); }
  const Instance& at(int i) const { return tree_[i]; }
  const Domain& type(int i) const { return topology_.domains[at(i).type]; }

  int grow(int domain, int parent, int level) {
    const int me = size();
    tree_.push_back({domain, parent, level, {}});
    for (size_t d = 0; d < topology_.domains.size(); ++d)
      if (topology_.domains[d].parent == domain)
        for (int64_t i = 0; i < topology_.domains[d].count; ++i) {
          const int child = grow(static_cast<int>(d), me, level + 1);
          tree_[me].children.push_back(child);
        }
    return me;
  }
  int above(int i, int level) const {
    while (at(i).level > level) i = at(i).parent;
    return i;
  }
  bool inside(int i, int outer) const { return at(i).level >= at(outer).level && above(i, at(outer).level) == outer; }
  std::vector<int> ranks_in(int i) const {
    std::vector<int> result;
    for (int r : ranks_)
      if (inside(r, i)) result.push_back(r);
    return result;
  }
  template <class T>
  T any(const std::vector<T>& of) {
    return of[integer(random_, 0, static_cast<int64_t>(of.size()) - 1)];
  }
  int proxy(int i) { return any(ranks_in(i)); }  // equal ranks: every proxy equally likely

  /// Moves bytes from one rank to another; the stage is that of the children of their lowest common domain, unless
  /// given.
  void move(Flow flow, int from, int to, double bytes) {
    if (from == to) return;
    int stage = 1;
    while (above(from, stage) == above(to, stage)) ++stage;
    for (int level = stage; level <= depth_; ++level) {
      bytes_[{flow, stage, above(from, level), Direction::out}] += bytes;
      bytes_[{flow, stage, above(to, level), Direction::in}] += bytes;
    }
  }
  void exchange(bool direct, int holder, int asking, double bytes) {
    const double id = static_cast<double>(workload_.id_bytes);
    move(direct ? Flow::direct_ids : Flow::ids, asking, holder, id);
    move(direct ? Flow::direct_rows : Flow::rows, holder, asking, bytes);
    move(direct ? Flow::direct_gradients : Flow::gradients, asking, holder, bytes);
  }
  bool touched(int i) const {
    return std::any_of(touching_.begin(), touching_.end(), [&](int r) { return inside(r, i); });
  }

  void table(int t, const Option& option, Transport transport);
  void row(int t, const Option& option, Transport transport);
  void deliver(int domain, int source, double bytes);
  std::vector<int> holders(const Option& option);
  void reduce(const Option& option, const std::map<int, int>& holder_in, double bytes);

  // A plan as it runs:
  std::vector<int> ring(const Option& option, int domain);
  void planned_table(int t, const Plan& plan);
  void planned_bag(int t, const Plan& plan, int rank, const std::vector<size_t>& rows);
  void planned_row(const TablePlan& table, const Option& option, size_t position, double bytes);
  int holder(const TablePlan& table, const Option& option, size_t position, int rank);
  int asked(const TablePlan& table, int domain, int holder, size_t position);

  const Topology& topology_;
  const Workload& workload_;
  std::mt19937_64& random_;
  std::map<std::pair<const Option*, int>, std::vector<int>> rings_;
  std::vector<Instance> tree_;
  std::vector<int> ranks_;
  int depth_ = 0;
  std::map<int, int64_t> batch_;
  std::map<std::tuple<Flow, int, int, Direction>, double> bytes_;
  std::map<int, double> distinct_;
  std::set<int> touching_;  // ranks that look up the row at hand
  double pairs_ = 0;
  int64_t first_turn_ = 0, turn_ = -1;  // which child adds up for a domain; -1: any
  bool slots_equal_ = true;             // in all domains of the option's level: else nothing can be summed whole
  size_t slots_before_ = 0;
};

/// The rank that keeps the copy, for every domain instance of the option's level (same order as instances appear).
std::vector<int> Simulator::holders(const Option& option) {
  std::vector<int> result;
  std::vector<int> types;
  for (size_t d = 0; d < topology_.domains.size(); ++d) {
    int level = 0;
    for (int up = topology_.domains[d].parent; up >= 0; up = topology_.domains[up].parent) ++level;
    if (level == option.level) types.push_back(static_cast<int>(d));
  }
  for (int i = 0; i < size(); ++i) {
    if (at(i).level != option.level) continue;
    const auto site = option.sites[std::find(types.begin(), types.end(), at(i).type) - types.begin()];
    std::vector<int> slots;
    for (int j = 0; j < size(); ++j)
      if (at(j).type == site.domain && inside(j, i)) slots.push_back(j);
    slots_equal_ = (result.empty() || slots_equal_) && (result.empty() || slots.size() == slots_before_);
    if (result.empty()) slots_equal_ = true;
    slots_before_ = slots.size();
    result.push_back(proxy(any(slots)));
  }
  return result;
}

/// The copy's domain, or a domain with a proxy: hands the row to every child that touches it, and they to theirs.
void Simulator::deliver(int domain, int source, double bytes) {
  for (int child : at(domain).children) {
    if (!touched(child)) continue;
    int next = source;
    if (!inside(source, child)) {
      next = proxy(child);
      exchange(false, source, next, bytes);
    }
    deliver(child, next, bytes);
  }
}

void Simulator::reduce(const Option& option, const std::map<int, int>& holder_in, double bytes) {
  const bool dense = option.reduction == Reduction::dense && slots_equal_;
  const double each = bytes + (dense ? 0 : static_cast<double>(workload_.id_bytes));
  std::map<int, int> speaker = holder_in;  // the rank that sends and receives for a domain
  std::vector<std::pair<int, int>> down;   // (owner, other), to be replayed from the top
  for (int level = option.level - 1; level >= 0; --level)
    for (int parent = 0; parent < size(); ++parent) {
      if (at(parent).level != level) continue;
      const std::vector<int>& children = at(parent).children;
      const int64_t turn = level == 0 ? turn_ : turn_ / std::ssize(at(0).children);
      const int owner = speaker[turn_ < 0 ? any(children) : children[turn % std::ssize(children)]];
      for (int child : at(parent).children) {
        if (dense || touched(child)) move(Flow::up, speaker[child], owner, each);
        down.emplace_back(owner, speaker[child]);
      }
      speaker[parent] = owner;
    }
  if (dense || !touching_.empty())
    for (const auto& [owner, other] : down) move(Flow::down, owner, other, each);
}

void Simulator::row(int t, const Option& option, Transport transport) {
  const double bytes = static_cast<double>(workload_.tables[t].wire_bytes);
  const std::vector<int> copies = holders(option);
  std::map<int, int> holder_in;
  size_t next = 0;
  for (int i = 0; i < size(); ++i)
    if (at(i).level == option.level) holder_in[i] = copies[next++];
  for (int rank : touching_) distinct_[rank] += 1;
  if (transport == Transport::staged)
    for (const auto& [domain, holder] : holder_in) deliver(domain, holder, bytes);
  if (transport == Transport::direct)
    for (int rank : touching_) exchange(true, holder_in[above(rank, option.level)], rank, bytes);
  reduce(option, holder_in, bytes);
}

void Simulator::table(int t, const Option& option, Transport transport) {
  const Table& table = workload_.tables[t];
  std::vector<double> cumulative;
  double sum = 0;
  for (size_t c = 0; c < table.access.classes(); ++c)
    for (int64_t i = 0; i < table.access.rows[c]; ++i) cumulative.push_back(sum += table.access.p[0][c]);
  const auto draw = [&] {
    const double u = uniform(random_, 0, sum);
    return static_cast<size_t>(std::upper_bound(cumulative.begin(), cumulative.end() - 1, u) - cumulative.begin());
  };
  const auto h = static_cast<int64_t>(table.lookups);
  if (transport == Transport::pooled && option.level > 0) transport = Transport::direct;  // only single copies pool
  if (transport != Transport::pooled) {
    std::vector<std::set<int>> by_row(cumulative.size());
    for (int rank : ranks_)
      for (int64_t i = 0; i < batch_[rank] * h; ++i) by_row[draw()].insert(rank);
    for (auto& ranks : by_row) {
      touching_ = std::move(ranks);
      row(t, option, transport);
    }
    return;
  }
  std::map<size_t, std::vector<int>> copies;  // holder of each row, by domain of the option's level
  std::map<int, size_t> index;
  for (int i = 0; i < size(); ++i)
    if (at(i).level == option.level) index.emplace(i, index.size());
  const auto bytes = static_cast<double>(table.wire_bytes);
  std::map<size_t, std::set<int>> by_row;
  for (int rank : ranks_)
    for (int64_t sample = 0; sample < batch_[rank]; ++sample) {
      std::set<int> asked;
      for (int64_t i = 0; i < h; ++i) {
        const size_t id = draw();
        if (!copies.contains(id)) copies[id] = holders(option);
        by_row[id].insert(rank);
        const int holder = copies[id][index[above(rank, option.level)]];
        move(Flow::direct_ids, rank, holder, static_cast<double>(workload_.id_bytes));
        asked.insert(holder);
      }
      for (int holder : asked) {
        move(Flow::direct_ids, rank, holder, 1);  // how many lookups
        move(Flow::direct_rows, holder, rank, bytes);
        move(Flow::direct_gradients, rank, holder, bytes);
        if (holder != rank) ++pairs_;
      }
    }
  for (auto& [id, ranks] : by_row) {
    touching_ = std::move(ranks);
    std::map<int, int> holder_in;
    for (const auto& [domain, i] : index) holder_in[domain] = copies[id][i];
    reduce(option, holder_in, bytes);
  }
}

/// Ranks that hold the rows of an option in a domain, slot by slot, those that share a slot in turn.
std::vector<int> Simulator::ring(const Option& option, int domain) {
  std::vector<int>& result = rings_[{&option, domain}];
  if (!result.empty()) return result;
  std::vector<int> types;  // of the level
  for (int i = 0; i < size(); ++i)
    if (at(i).level == option.level) types.push_back(at(i).type);
  std::sort(types.begin(), types.end());
  types.erase(std::unique(types.begin(), types.end()), types.end());
  const Site site = option.sites[std::find(types.begin(), types.end(), at(domain).type) - types.begin()];
  std::vector<std::vector<int>> slots;
  for (int i = 0; i < size(); ++i)
    if (at(i).type == site.domain && inside(i, domain)) slots.push_back(ranks_in(i));
  for (size_t turn = 0; turn < slots[0].size(); ++turn)
    for (const auto& slot : slots) result.push_back(slot[turn]);
  return result;
}

int Simulator::holder(const TablePlan& table, const Option& option, size_t position, int rank) {
  const std::vector<int> ranks = ring(option, above(rank, option.level));
  const auto place = static_cast<size_t>(table.holders.fixed >= 0 ? table.holders.fixed : table.holders.offset);
  return ranks[(table.holders.fixed >= 0 ? place : position + place) % ranks.size()];
}

/// Whom the ranks of a domain ask for a row: its holder, if inside, else the proxy whose turn it is.
int Simulator::asked(const TablePlan& table, int domain, int holder, size_t position) {
  if (inside(holder, domain)) return holder;
  std::vector<int> proxies;
  for (int r : ranks_in(domain))
    if (type(r).holds && type(r).proxy_weight != 0) proxies.push_back(r);
  if (proxies.empty()) proxies = ranks_in(domain);
  return proxies[(position + static_cast<size_t>(table.holders.offset)) % proxies.size()];
}

void Simulator::planned_row(const TablePlan& table, const Option& option, size_t position, double bytes) {
  std::map<int, int> holder_in;
  slots_equal_ = true;
  turn_ = first_turn_ + static_cast<int64_t>(position);
  for (int i = 0; i < size(); ++i)
    if (at(i).level == option.level) {
      holder_in[i] = holder(table, option, position, ranks_in(i)[0]);
      slots_equal_ = slots_equal_ && ring(option, i).size() == ring(option, holder_in.begin()->first).size();
    }
  std::set<int> wanting = touching_;
  if (table.transport == Transport::staged) {
    for (int level = depth_ - 1; level >= option.level; --level) {
      std::set<int> next;
      for (int rank : wanting) {
        const int of = asked(table, above(rank, level), holder_in[above(rank, option.level)], position);
        exchange(false, of, rank, bytes);
        next.insert(of);
      }
      wanting = next;
    }
  } else {
    for (int rank : touching_) exchange(true, holder_in[above(rank, option.level)], rank, bytes);
  }
  if (option.level > 0) reduce(option, holder_in, bytes);
}

/// Rows of a bag that are pooled where they are. Every rank has a part of a bag of partial sums.
void Simulator::planned_bag(int t, const Plan& plan, int rank, const std::vector<size_t>& rows) {
  const TablePlan& table = plan.tables[t];
  const auto bytes = static_cast<double>(workload_.tables[t].wire_bytes);
  const bool partial = table.transport == Transport::partial_sums;
  const bool lengths = partial || std::any_of(workload_.tables.begin(), workload_.tables.end(),
                                              [](const Table& each) { return each.lookups != 1; });
  std::set<int> asked;
  if (partial) asked.insert(ranks_.begin(), ranks_.end());
  for (size_t position : rows) {
    const int of = holder(table, plan.options[option_at(table, static_cast<int64_t>(position))], position, rank);
    move(Flow::direct_ids, rank, of, static_cast<double>(workload_.id_bytes));
    asked.insert(of);
  }
  for (int of : asked) {
    if (lengths) move(Flow::direct_ids, rank, of, 1);
    move(Flow::direct_rows, of, rank, bytes);
    move(Flow::direct_gradients, rank, of, bytes);
  }
}

void Simulator::planned_table(int t, const Plan& plan) {
  const TablePlan& table = plan.tables[t];
  const Table& of = workload_.tables[t];
  std::vector<double> cumulative;
  double sum = 0;
  for (size_t c = 0; c < of.access.classes(); ++c)
    for (int64_t i = 0; i < of.access.rows[c]; ++i) cumulative.push_back(sum += of.access.p[0][c]);
  std::vector<std::set<int>> by_row(cumulative.size());
  const bool pooled = table.transport == Transport::pooled || table.transport == Transport::partial_sums;
  for (int rank : ranks_)
    for (int64_t sample = 0; sample < batch_[rank]; ++sample) {
      std::vector<size_t> elsewhere;
      for (int64_t i = 0; i < static_cast<int64_t>(of.lookups); ++i) {
        const double u = uniform(random_, 0, sum);
        const auto row =
            static_cast<size_t>(std::upper_bound(cumulative.begin(), cumulative.end() - 1, u) - cumulative.begin());
        if (pooled && plan.options[option_at(table, static_cast<int64_t>(row))].level == 0)
          elsewhere.push_back(row);
        else
          by_row[row].insert(rank);
      }
      if (pooled) planned_bag(t, plan, rank, elsewhere);
    }
  for (size_t row = 0; row < by_row.size(); ++row) {
    const Option& option = plan.options[option_at(table, static_cast<int64_t>(row))];
    if (pooled && option.level == 0) continue;
    touching_ = by_row[row];
    planned_row(table, option, row, static_cast<double>(of.wire_bytes));
  }
}

}  // namespace

Simulated simulate(const Topology& topology, const Workload& workload, const std::vector<Option>& options,
                   const std::vector<Transport>& transports, std::mt19937_64& random) {
  return Simulator(topology, workload, random).run(options, transports);
}

Traced trace(const Topology& topology, const Workload& workload, const Plan& plan, int64_t turn,
             std::mt19937_64& random) {
  return Simulator(topology, workload, random).run(plan, turn);
}

}  // namespace sparrow::placement
