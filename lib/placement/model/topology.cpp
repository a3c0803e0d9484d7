// Validation of a topology and what follows from it: levels, numbers of instances, batch shares, proxy shares, sites.
#include "placement/model/topology.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace sparrow::placement {
namespace {

std::string path_of(const Topology& topology, int d) {
  const Domain& domain = topology.domains[d];
  return domain.parent < 0 ? domain.name : path_of(topology, domain.parent) + "/" + domain.name;
}

/// Throws unless value is a number in [least, infinity] (infinity only where allowed).
void check_number(const Topology& topology, int d, const std::string& key, double value, double least, bool infinite) {
  if (std::isnan(value) || value < least || (!infinite && std::isinf(value)))
    fail("topology {}: {}.{}: {} is not a number {} {}", topology.name, path_of(topology, d), key, value,
         least > 0 ? "above" : "of at least", least > 0 ? 0.0 : least);
}

void validate_port(const Topology& topology, int d, size_t index) {
  const Port& port = topology.domains[d].ports[index];
  const std::string key = fmt::format("ports[{}] ({})", index, port.name);
  constexpr double kLeastBandwidth = 1e-6;  // bytes/s; anything below is a mistake, and would overflow times
  check_number(topology, d, key + ".in_bytes_per_s", port.in_bytes_per_s, kLeastBandwidth, true);
  check_number(topology, d, key + ".out_bytes_per_s", port.out_bytes_per_s, kLeastBandwidth, true);
  check_number(topology, d, key + ".latency_s", port.latency_s, 0, false);
  check_number(topology, d, key + ".overhead_s", port.overhead_s, 0, false);
  if (port.first_stage < 1 || port.last_stage < 0)
    fail("topology {}: {}.{}: stages {} to {} do not exist", topology.name, path_of(topology, d), key, port.first_stage,
         port.last_stage);
}

void validate_store(const Topology& topology, int d, size_t index) {
  const Store& store = topology.domains[d].stores[index];
  const std::string key = fmt::format("stores[{}] ({})", index, store.name);
  check_number(topology, d, key + ".capacity_bytes", static_cast<double>(store.capacity_bytes), 0, false);
  check_number(topology, d, key + ".bytes_per_s", store.bytes_per_s, 1e-6, true);
  check_number(topology, d, key + ".latency_s", store.latency_s, 0, false);
  check_number(topology, d, key + ".granule_bytes", static_cast<double>(store.granule_bytes), 1, false);
}

void validate_domain(const Topology& topology, int d) {
  const Domain& domain = topology.domains[d];
  const auto path = [&] { return path_of(topology, d); };
  if (domain.name.empty()) fail("topology {}: domains[{}].name: empty", topology.name, d);
  if (d == 0 ? domain.count != 1 : domain.count < 1)
    fail("topology {}: {}.count: {} is not {}", topology.name, path(), domain.count, d == 0 ? "1" : "at least 1");
  if (domain.count > int64_t{1} << 40)
    fail("topology {}: {}.count: {} is too many", topology.name, path(), domain.count);
  if (d > 0 && domain.ports.empty())
    fail("topology {}: {}.ports: none, so it cannot be reached", topology.name, path());
  for (size_t i = 0; i < domain.ports.size(); ++i) validate_port(topology, d, i);
  for (size_t i = 0; i < domain.stores.size(); ++i) validate_store(topology, d, i);
  check_number(topology, d, "batch_weight", domain.batch_weight, 0, false);
  check_number(topology, d, "flops_per_s", domain.flops_per_s, 1e-6, true);
  check_number(topology, d, "work.hash_ids_per_s", domain.work.hash_ids_per_s, 1e-6, true);
  check_number(topology, d, "work.gather_bytes_per_s", domain.work.gather_bytes_per_s, 1e-6, true);
  check_number(topology, d, "work.pack_bytes_per_s", domain.work.pack_bytes_per_s, 1e-6, true);
  check_number(topology, d, "work.update_bytes_per_s", domain.work.update_bytes_per_s, 1e-6, true);
  check_number(topology, d, "work.list_ids_per_s", domain.work.list_ids_per_s, 1e-6, true);
  if (std::isnan(domain.proxy_weight) || std::isinf(domain.proxy_weight))
    fail("topology {}: {}.proxy_weight: not a number", topology.name, path());
  if (domain.access_group < 0) fail("topology {}: {}.access_group: {} < 0", topology.name, path(), domain.access_group);
}

void validate_ranks(const Topology& topology, const std::vector<double>& instances, const std::vector<int>& children) {
  if (topology.rank_of_leaf.empty()) return;
  double ranks = 0;
  for (size_t d = 0; d < instances.size(); ++d)
    if (children[d] == 0) ranks += instances[d];
  std::vector<bool> seen(topology.rank_of_leaf.size(), false);
  for (const int rank : topology.rank_of_leaf) {
    if (static_cast<double>(seen.size()) != ranks || rank < 0 || rank >= std::ssize(seen) || seen[rank])
      fail("topology {}: ranks: {} numbers, which are no permutation of 0 .. {:.0f}", topology.name, seen.size(),
           ranks - 1);
    seen[rank] = true;
  }
}

}  // namespace

void validate(const Topology& topology) {
  const auto& domains = topology.domains;
  if (domains.empty()) fail("topology {}: no domains", topology.name);
  std::vector<int> level(domains.size(), 0), children(domains.size(), 0);
  for (size_t d = 0; d < domains.size(); ++d) {
    const int parent = domains[d].parent;
    if (d == 0 ? parent != -1 : parent < 0 || parent >= static_cast<int>(d))
      fail("topology {}: domains[{}] ({}).parent: {} {}", topology.name, d, domains[d].name, parent,
           d == 0 ? "but the first is the root, of parent -1"
                  : "is not an earlier domain (a cycle, a second root, or an unknown name)");
    if (d > 0) {
      level[d] = level[parent] + 1;
      ++children[parent];
    }
    validate_domain(topology, static_cast<int>(d));
  }
  const int depth = *std::max_element(level.begin(), level.end());
  if (depth == 0) fail("topology {}: {}: zero ranks: the root has no children", topology.name, domains[0].name);
  double batch = 0;
  constexpr double kMostInstances = 1 << 24;  // what an instance has left is counted for each
  std::vector<double> instances(domains.size(), 1);
  for (size_t d = 0; d < domains.size(); ++d) {
    const int id = static_cast<int>(d);
    if (d > 0) instances[d] = instances[domains[d].parent] * static_cast<double>(domains[d].count);
    if (instances[d] > kMostInstances)
      fail("topology {}: {}.count: {:.0f} of them in all, at most {:.0f} can be planned for", topology.name,
           path_of(topology, id), instances[d], kMostInstances);
    for (size_t i = 0; i < domains[d].ports.size(); ++i) {
      const Port& port = domains[d].ports[i];
      if (port.first_stage > std::max(level[d], 1) || port.last_stage > level[d] ||
          (port.last_stage != 0 && port.last_stage < port.first_stage))
        fail("topology {}: {}.ports[{}] ({}): stages {} to {} are not among 1 to {}", topology.name,
             path_of(topology, id), i, port.name, port.first_stage, port.last_stage, level[d]);
    }
    if (children[d] > 0) continue;
    if (level[d] != depth)
      fail("topology {}: {}: a rank at depth {}, others lie at {}: insert domains of one child", topology.name,
           path_of(topology, id), level[d], depth);
    if (domains[d].stores.empty())
      fail("topology {}: {}.stores: a rank needs its device memory as the first", topology.name, path_of(topology, id));
    batch += domains[d].batch_weight;
  }
  if (!(batch > 0)) fail("topology {}: no rank has samples (every batch_weight is 0)", topology.name);
  validate_ranks(topology, instances, children);
}

Tree::Tree(const Topology& topology) : topology_(&topology) {
  validate(topology);
  const size_t n = topology.domains.size();
  level_.assign(n, 0);
  instances_.assign(n, 1);
  children_.resize(n);
  for (size_t d = 1; d < n; ++d) {
    const auto parent = static_cast<size_t>(topology.domains[d].parent);
    level_[d] = level_[parent] + 1;
    instances_[d] = instances_[parent] * topology.domains[d].count;
    children_[parent].push_back(static_cast<int>(d));
    depth_ = std::max(depth_, level_[d]);
  }
  at_level_.resize(static_cast<size_t>(depth_) + 1);
  for (size_t d = 0; d < n; ++d) at_level_[level_[d]].push_back(static_cast<int>(d));

  ranks_in_.assign(n, 0);
  batch_share_.assign(n, 0);
  std::vector<double> holders(n, 0);  // ranks below that hold rows for others
  double total = 0;
  for (int r : at_level_.back()) total += domain(r).batch_weight * static_cast<double>(instances(r));
  for (size_t i = n; i-- > 0;) {
    const Domain& domain = topology.domains[i];
    if (level_[i] == depth_) {
      ranks_in_[i] = 1;
      batch_share_[i] = domain.batch_weight / total;
      holders[i] = domain.holds ? 1 : 0;
      access_groups_ = std::max(access_groups_, domain.access_group + 1);
    }
    if (domain.parent < 0) continue;
    const auto parent = static_cast<size_t>(domain.parent);
    ranks_in_[parent] += domain.count * ranks_in_[i];
    batch_share_[parent] += static_cast<double>(domain.count) * batch_share_[i];
    holders[parent] += static_cast<double>(domain.count) * holders[i];
  }

  find_proxies(holders);
  find_sites();
}

/// holders: ranks below each domain that hold rows for others.
void Tree::find_proxies(const std::vector<double>& holders) {
  const size_t n = topology_->domains.size();
  sigma_.assign(n, 1);
  peers_.assign(n, 0);
  for (size_t d = 0; d < n; ++d) {
    int64_t instances_of_children = 0;
    double weight = 0;
    const bool by_ranks = holders[d] == 0;
    const auto weight_of = [&](int child) {
      const Domain& c = domain(child);
      if (c.proxy_weight >= 0) return c.proxy_weight;
      return by_ranks ? static_cast<double>(ranks_in(child)) : holders[child];
    };
    for (int child : children_[d]) {
      instances_of_children += domain(child).count;
      weight += static_cast<double>(domain(child).count) * weight_of(child);
    }
    if (!children_[d].empty() && !(weight > 0))
      fail("topology {}: {}: no child can be a proxy (every proxy_weight is 0)", topology_->name,
           path(static_cast<int>(d)));
    for (int child : children_[d]) {
      sigma_[child] = weight_of(child) / weight;
      peers_[child] = instances_of_children - 1;
    }
  }
}

void Tree::find_sites() {
  const size_t n = topology_->domains.size();
  sites_in_.resize(n);
  for (size_t outer = 0; outer < n; ++outer)
    for (size_t d = outer; d < n; ++d) {
      if (!inside(static_cast<int>(d), static_cast<int>(outer))) continue;
      const bool private_memory = level_[d] == depth_ && !topology_->domains[d].holds && d != outer;
      for (size_t s = 0; s < topology_->domains[d].stores.size() && !private_memory; ++s)
        sites_in_[outer].push_back({static_cast<int>(d), static_cast<int>(s)});
    }
}

int Tree::ancestor(int d, int l) const {
  while (level(d) > l) d = domain(d).parent;
  return d;
}

double Tree::rho(int d, int outer) const {
  double product = 1;
  for (; d != outer; d = domain(d).parent) product *= sigma(d);
  return product;
}

std::string Tree::path(int d) const {
  return path_of(*topology_, d);
}

std::string Tree::site_name(Site s) const {
  return path(s.domain) + ":" + store(s).name;
}

}  // namespace sparrow::placement
