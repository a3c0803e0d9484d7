// The machine: a rooted tree of memories and links, as plain data. Leaves are ranks (a GPU, a socket, a phone), inner
// vertices are domains (a node, a rack, the internet), the root is the whole system. All ranks lie at the same depth L,
// the root at level 0.
//
// Identical siblings are stored once: a Domain stands for `count` equal children in each instance of its parent, so
// 2,048 nodes of 8 ranks are three Domains, and every cost is computed per domain type. Example, 16 nodes of 8 GPUs:
//   domains[0] "cluster" parent -1 count 1 | domains[1] "node" parent 0 count 16, a NIC | domains[2] "gpu" parent 1
//   count 8, NVLink
//
// Stage j (1..L) is the exchange among the level-j children of one level-(j-1) domain. A byte of it loads the ports of
// the two children and every port below them down to the rank that sends or receives, as far as those ports carry stage
// j. Left out: contention between different domains of a level inside one switch (give their parent's uplink less
// bandwidth instead), and routes that are not trees.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace sparrow::placement {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What connects one instance of a domain (or rank) to the rest of its parent. A stage that uses it takes at least
/// latency + messages * overhead + bytes / bandwidth, for each direction.
struct Port {
  std::string name = "link";
  double in_bytes_per_s = 0;   ///< towards the ranks below; must be > 0
  double out_bytes_per_s = 0;  ///< away from them; must be > 0
  double latency_s = 0;        ///< until the first byte; once per stage (messages of one stage overlap)
  double overhead_s = 0;       ///< per message: how long each message occupies the port
  int first_stage =
      1;  ///< carries stages first_stage .. last_stage, e.g. NVLink only stage L, a NIC per GPU only 1 .. L-1
  int last_stage = 0;  ///< 0: the level of the domain it belongs to
};

/// A memory that holds rows. On a rank stores[0] is its device memory; everything else is a slower store, from which
/// rows are fetched.
struct Store {
  std::string name;
  int64_t capacity_bytes = 0;      ///< for rows and their optimiser state, per instance
  double bytes_per_s = kInfinity;  ///< read and written; ignored for device memory (its speed is in WorkRates)
  double latency_s = 0;            ///< once per iteration and direction, when it is used at all
  int64_t granule_bytes = 1;       ///< least amount moved, e.g. 4096 on a disk
};

/// Work of one rank per second; infinity = free.
struct WorkRates {
  double hash_ids_per_s = kInfinity;      ///< lookups and received ids deduplicated
  double gather_bytes_per_s = kInfinity;  ///< rows read from tables and pooled into bags
  double pack_bytes_per_s = kInfinity;    ///< rows and gradients copied into and out of exchange buffers
  double update_bytes_per_s = kInfinity;  ///< rows and optimiser state updated
  double list_ids_per_s = kInfinity;      ///< ids listed for another rank, or come from one: see placement.hpp
};

/// One type of vertex of the tree.
struct Domain {
  std::string name;
  int parent = -1;    ///< index into Topology::domains, smaller than its own; -1 for the root alone
  int64_t count = 1;  ///< equal instances in each instance of the parent
  std::vector<Port> ports;
  std::vector<Store> stores;
  double proxy_weight =
      -1;  ///< sigma before normalising: weight of ONE instance among its siblings as a proxy; < 0: its number of ranks
  // Ranks only:
  double batch_weight =
      1;  ///< b_r is this over the sum of all ranks' weights, times the global batch; 0 for a pure server
  double flops_per_s = kInfinity;  ///< forward and backward
  WorkRates work;
  bool holds = true;     ///< false: keeps rows for itself only (a phone)
  int access_group = 0;  ///< which probabilities of a table it draws from (TableDistribution::p)
};

struct Topology {
  std::string name;
  std::vector<Domain> domains;  ///< parents before children; [0] is the root
  /// Which rank of a run is leaf i of the tree, in tree order; empty: leaf i is rank i. Planning does not depend on it.
  std::vector<int> rank_of_leaf = {};
};

/// Throws Error "topology <name>: <domain path>.<key>: what is wrong" unless the tree is one: one root, parents first,
/// all ranks at one depth, counts >= 1, positive bandwidths, no negative numbers, a device memory on every rank, some
/// rank with samples, rank_of_leaf (if not empty) a permutation of the ranks.
void validate(const Topology& topology);

/// Where a row can live: stores[store] of domains[domain].
struct Site {
  int domain = 0;
  int store = 0;
  bool operator==(const Site&) const = default;
  auto operator<=>(const Site&) const = default;
};

/// What follows from a valid topology; the topology must outlive it. Validates.
class Tree {
 public:
  explicit Tree(const Topology& topology);

  const Topology& topology() const { return *topology_; }
  const Domain& domain(int d) const { return topology_->domains[d]; }
  int size() const { return static_cast<int>(topology_->domains.size()); }
  int depth() const { return depth_; }  ///< L
  int level(int d) const { return level_[d]; }
  bool is_rank(int d) const { return level(d) == depth_; }
  const std::vector<int>& children(int d) const { return children_[d]; }
  const std::vector<int>& at_level(int l) const { return at_level_[l]; }  ///< domain types, in order
  int ancestor(int d, int l) const;  ///< the type at level l <= level(d) above d (or d itself)
  bool inside(int d, int outer) const { return level(d) >= level(outer) && ancestor(d, level(outer)) == outer; }
  int64_t instances(int d) const { return instances_[d]; }  ///< in the whole system
  int64_t instances_in(int d, int outer) const {
    return instances(d) / instances(outer);
  }                                                       ///< in one instance of outer, which has it inside
  int64_t ranks_in(int d) const { return ranks_in_[d]; }  ///< ranks below one instance
  int64_t ranks() const { return ranks_in(0); }
  double batch_share(int d) const { return batch_share_[d]; }  ///< of the global batch, one instance of d
  double sigma(int d) const { return sigma_[d]; }              ///< one instance as a proxy of its parent
  double rho(int d, int outer) const;                          ///< product of sigma from just below outer down to d
  int64_t peers(int d) const { return peers_[d]; }             ///< other instances with the same parent instance
  std::string path(int d) const;                               ///< "cluster/node/gpu"
  int access_groups() const { return access_groups_; }
  /// Sites inside one instance of d at which a copy for all of d may live (device memories of ranks that hold, and
  /// slower stores; for a rank its own stores), in order of (domain, store).
  const std::vector<Site>& sites_in(int d) const { return sites_in_[d]; }
  bool is_device(Site s) const { return is_rank(s.domain) && s.store == 0; }
  const Store& store(Site s) const { return domain(s.domain).stores[s.store]; }
  std::string site_name(Site s) const;  ///< "cluster/node/gpu:device"

 private:
  void find_proxies(const std::vector<double>& holders);
  void find_sites();

  const Topology* topology_;
  int depth_ = 0, access_groups_ = 1;
  std::vector<int> level_;
  std::vector<std::vector<int>> children_, at_level_;
  std::vector<int64_t> instances_, ranks_in_, peers_;
  std::vector<double> batch_share_, sigma_;
  std::vector<std::vector<Site>> sites_in_;
};

}  // namespace sparrow::placement
