#include "config/topology_file.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "config/quantity.hpp"
#include "config/yaml_reader.hpp"

namespace sparrow {
namespace {

using placement::Domain;
using placement::Port;
using placement::Store;
using placement::Topology;

constexpr int64_t kMostChildren = int64_t{1} << 40;
constexpr int64_t kMostGroups = 1 << 20;
constexpr int64_t kMostRanks = 1 << 24;

/// A rate above zero.
double rate_of(const YamlNode& node, Quantity kind) {
  const double rate = node.quantity(kind);
  if (!(rate > 0)) node.fail("'{}' must be above 0", node.text());
  return rate;
}

std::optional<double> find_rate(YamlMap& map, const std::string& key, Quantity kind) {
  const auto node = map.find(key);
  return node ? std::optional(rate_of(*node, kind)) : std::nullopt;
}

double find_seconds(YamlMap& map, const std::string& key) {
  const auto node = map.find(key);
  return node ? node->quantity(Quantity::seconds) : 0;
}

Port read_link(const std::string& name, const YamlNode& node) {
  YamlMap map = node.map();
  Port port;
  port.name = name;
  const auto both = find_rate(map, "bandwidth", Quantity::bytes_per_second);
  const auto in = find_rate(map, "in", Quantity::bytes_per_second);
  const auto out = find_rate(map, "out", Quantity::bytes_per_second);
  if (both ? in || out : !(in && out)) node.fail("give bandwidth, or both in and out");
  port.in_bytes_per_s = both ? *both : *in;
  port.out_bytes_per_s = both ? *both : *out;
  port.latency_s = find_seconds(map, "latency");
  port.overhead_s = find_seconds(map, "overhead");
  if (const auto stages = map.find("stages")) {
    const auto items = stages->items();
    if (items.size() != 2) stages->fail("expected two levels, [first, last]");
    port.first_stage = static_cast<int>(items[0].integer(1, 64));
    port.last_stage = static_cast<int>(items[1].integer(port.first_stage, 64));
  }
  map.finish();
  return port;
}

Store read_store(const std::string& name, const YamlNode& node) {
  YamlMap map = node.map();
  Store store;
  store.name = name;
  store.capacity_bytes = map.at("capacity").bytes(0);
  if (const auto rate = find_rate(map, "bandwidth", Quantity::bytes_per_second)) store.bytes_per_s = *rate;
  store.latency_s = find_seconds(map, "latency");
  if (const auto granule = map.find("granule")) store.granule_bytes = granule->bytes();
  map.finish();
  return store;
}

template <class Kind>
using Kinds = std::map<std::string, Kind>;

template <class Kind, class Read>
Kinds<Kind> read_kinds(YamlMap& root, const std::string& section, Read read) {
  Kinds<Kind> kinds;
  if (const auto node = root.find(section)) {
    YamlMap map = node->map();
    for (const auto& [name, value] : map.entries()) kinds.emplace(name, read(name, value));
  }
  return kinds;
}

/// The kinds that a domain's list names.
template <class Kind>
std::vector<Kind> look_up(YamlMap& domain, const std::string& key, const char* what, const Kinds<Kind>& kinds) {
  std::vector<Kind> found;
  const auto list = domain.find(key);
  if (!list) return found;
  for (const YamlNode& item : list->items()) {
    const std::string name = item.text();
    const auto kind = kinds.find(name);
    if (kind == kinds.end()) {
      std::vector<std::string> known;
      for (const auto& entry : kinds) known.push_back(entry.first);
      item.fail("unknown {} '{}'; expected: {}", what, name,
                known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
    }
    found.push_back(kind->second);
  }
  return found;
}

/// One entry of `domains` and what its place in the tree is checked with.
struct Entry {
  YamlNode node;
  Domain domain;
  std::optional<YamlNode> parent_node;
  std::optional<YamlNode> links_node;
  std::optional<YamlNode> rank_only;  ///< the first key that only ranks may have
  int parent = -1;
  int level = 0;
  bool has_children = false;
};

void read_rank_keys(YamlMap& map, Entry& entry) {
  const auto find = [&](const std::string& key) {
    auto node = map.find(key);
    if (node && !entry.rank_only) entry.rank_only = node;
    return node;
  };
  Domain& domain = entry.domain;
  if (const auto node = find("batch_weight")) domain.batch_weight = node->real(0);
  if (const auto node = find("flops")) domain.flops_per_s = rate_of(*node, Quantity::flop_per_second);
  if (const auto node = find("holds")) domain.holds = node->boolean();
  if (const auto node = find("access_group")) domain.access_group = static_cast<int>(node->integer(0, kMostGroups));
  if (const auto node = find("work")) {
    YamlMap work = node->map();
    domain.work.hash_ids_per_s = find_rate(work, "hash", Quantity::per_second).value_or(placement::kInfinity);
    domain.work.gather_bytes_per_s =
        find_rate(work, "gather", Quantity::bytes_per_second).value_or(placement::kInfinity);
    domain.work.pack_bytes_per_s = find_rate(work, "pack", Quantity::bytes_per_second).value_or(placement::kInfinity);
    domain.work.update_bytes_per_s =
        find_rate(work, "update", Quantity::bytes_per_second).value_or(placement::kInfinity);
    domain.work.list_ids_per_s = find_rate(work, "lists", Quantity::per_second).value_or(placement::kInfinity);
    work.finish();
  }
}

Entry read_domain(const YamlNode& node, const Kinds<Port>& links, const Kinds<Store>& stores) {
  Entry entry{.node = node, .domain = {}, .parent_node = {}, .links_node = {}, .rank_only = {}};
  YamlMap map = node.map();
  entry.domain.name = map.at("name").text();
  if (entry.domain.name.empty()) map.at("name").fail("empty");
  entry.parent_node = map.find("parent");
  if (const auto count = map.find("count")) entry.domain.count = count->integer(1, kMostChildren);
  entry.links_node = map.find("links");
  entry.domain.ports = look_up(map, "links", "link", links);
  entry.domain.stores = look_up(map, "stores", "store", stores);
  if (const auto weight = map.find("proxy_weight")) entry.domain.proxy_weight = weight->real(0);
  read_rank_keys(map, entry);
  map.finish();
  return entry;
}

void find_parents(std::vector<Entry>& entries) {
  std::map<std::string, int> by_name;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto [other, added] = by_name.emplace(entries[i].domain.name, static_cast<int>(i));
    if (!added)
      entries[i].node.fail("a second domain named '{}'; the first is {}", entries[i].domain.name,
                           entries[other->second].node.place());
  }
  const Entry* root = nullptr;
  for (Entry& entry : entries) {
    if (!entry.parent_node) {
      if (root) entry.node.fail("'{}' has no parent, but the root is '{}'", entry.domain.name, root->domain.name);
      root = &entry;
      continue;
    }
    const std::string name = entry.parent_node->text();
    const auto parent = by_name.find(name);
    if (parent == by_name.end()) entry.parent_node->fail("no domain is named '{}'", name);
    entry.parent = parent->second;
    entries[entry.parent].has_children = true;
  }
  for (Entry& entry : entries) {
    std::string chain = entry.domain.name;
    for (int p = entry.parent; p >= 0; p = entries[p].parent) {
      const Entry& above = entries[p];
      if (chain.size() < 200) chain += " -> " + above.domain.name;
      if (++entry.level > std::ssize(entries)) entry.parent_node->fail("a cycle of parents: {}", chain);
    }
  }
}

void check_places(const std::vector<Entry>& entries) {
  int depth = 0;
  for (const Entry& entry : entries) depth = std::max(depth, entry.level);
  if (depth == 0) entries[0].node.fail("zero ranks: the root '{}' has no children", entries[0].domain.name);
  double batch = 0;
  for (const Entry& entry : entries) {
    const Domain& domain = entry.domain;
    if (entry.parent < 0 && domain.count != 1) entry.node.fail("the root has a count of {}", domain.count);
    if (entry.parent >= 0 && domain.ports.empty())
      entry.node.fail("'{}' has no links, so it cannot be reached", domain.name);
    for (const Port& port : domain.ports) {
      if (std::max(port.first_stage, port.last_stage) <= std::max(entry.level, 1)) continue;
      entry.links_node->fail("'{}' carries stages up to {}, but '{}' lies at level {}", port.name,
                             std::max(port.first_stage, port.last_stage), domain.name, entry.level);
    }
    if (entry.has_children) {
      if (entry.rank_only) entry.rank_only->fail("only ranks have this, and '{}' has children", domain.name);
      continue;
    }
    if (entry.level != depth)
      entry.node.fail("'{}' has no children and lies at level {}, but ranks lie at level {}", domain.name, entry.level,
                      depth);
    if (domain.stores.empty())
      entry.node.fail("the rank '{}' has no stores; the first is its device memory", domain.name);
    batch += domain.batch_weight;
  }
  if (!(batch > 0)) entries[0].node.fail("no rank has samples: every batch_weight is 0");
}

Topology read_topology(const YamlNode& root_node, const std::string& name) {
  YamlMap root = root_node.map();
  Topology topology;
  topology.name = root.at("name").text();
  const auto links = read_kinds<Port>(root, "links", read_link);
  const auto stores = read_kinds<Store>(root, "stores", read_store);
  if (const auto ranks = root.find("ranks"))
    for (const YamlNode& rank : ranks->items())
      topology.rank_of_leaf.push_back(static_cast<int>(rank.integer(0, kMostRanks)));
  const YamlNode list = root.at("domains");
  std::vector<Entry> entries;
  for (const YamlNode& node : list.items()) entries.push_back(read_domain(node, links, stores));
  root.finish();
  if (entries.empty()) list.fail("zero ranks: no domains");
  find_parents(entries);
  check_places(entries);

  std::vector<size_t> order(entries.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return entries[a].level < entries[b].level; });
  std::vector<int> index(entries.size());
  for (size_t i = 0; i < order.size(); ++i) index[order[i]] = static_cast<int>(i);
  for (size_t i : order) {
    topology.domains.push_back(entries[i].domain);
    if (entries[i].parent >= 0) topology.domains.back().parent = index[entries[i].parent];
  }
  try {
    const placement::Tree tree(topology);
  } catch (const Error& error) {
    fail("{}: {}", name, error.what());
  }
  return topology;
}

}  // namespace

Topology load_topology(const std::string& path) {
  return read_topology(YamlNode::load(path), path);
}

Topology parse_topology(std::string_view text, const std::string& name) {
  return read_topology(YamlNode::parse(text, name), name);
}

}  // namespace sparrow
