// The writing half of config/topology_file.hpp.
#include <cmath>
#include <functional>
#include <sstream>

#include "base/error.hpp"
#include "config/quantity.hpp"
#include "config/topology_file.hpp"
#include "config/yaml_tree.hpp"

namespace sparrow {
namespace {

using placement::Domain;
using placement::Port;
using placement::Store;

/// A text as YAML would read it back, in double quotes unless it is a plain word.
std::string yaml_text(const std::string& text) {
  bool plain = !text.empty() && std::isalpha(static_cast<unsigned char>(text[0]));
  for (const char c : text) plain = plain && (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-');
  if (plain && text != "true" && text != "false" && text != "null" && text != "yes" && text != "no") return text;
  return quoted_yaml(text);
}

std::string link_text(const Port& port) {
  const auto rate = [](double value) { return format_quantity(value, Quantity::bytes_per_second); };
  std::string text = port.in_bytes_per_s == port.out_bytes_per_s
                         ? fmt::format("bandwidth: {}", rate(port.in_bytes_per_s))
                         : fmt::format("in: {}, out: {}", rate(port.in_bytes_per_s), rate(port.out_bytes_per_s));
  if (port.latency_s > 0) text += fmt::format(", latency: {}", format_quantity(port.latency_s, Quantity::seconds));
  if (port.overhead_s > 0) text += fmt::format(", overhead: {}", format_quantity(port.overhead_s, Quantity::seconds));
  return text;
}

std::string store_text(const Store& store) {
  std::string text =
      fmt::format("capacity: {}", format_quantity(static_cast<double>(store.capacity_bytes), Quantity::bytes));
  if (std::isfinite(store.bytes_per_s))
    text += fmt::format(", bandwidth: {}", format_quantity(store.bytes_per_s, Quantity::bytes_per_second));
  if (store.latency_s > 0) text += fmt::format(", latency: {}", format_quantity(store.latency_s, Quantity::seconds));
  if (store.granule_bytes != 1)
    text += fmt::format(", granule: {}", format_quantity(static_cast<double>(store.granule_bytes), Quantity::bytes));
  return text;
}

/// Unique names for things that may share a name: the same name for the same text, a number behind others.
class Names {
 public:
  std::string add(const std::string& name, const std::string& text) {
    for (int number = 1;; ++number) {
      const std::string unique = number == 1 ? name : fmt::format("{}_{}", name, number);
      size_t i = 0;
      while (i < entries_.size() && entries_[i].first != unique) ++i;
      if (i == entries_.size()) entries_.emplace_back(unique, text);
      if (entries_[i].second == text) return unique;
    }
  }
  const std::vector<std::pair<std::string, std::string>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

std::string rank_text(const Domain& domain) {
  std::string text;
  const auto rate = [](double value) { return format_quantity(value, Quantity::bytes_per_second); };
  if (std::isfinite(domain.flops_per_s))
    text += fmt::format("    flops: {}\n", format_quantity(domain.flops_per_s, Quantity::flop_per_second));
  const auto& work = domain.work;
  const auto ids = [](double value) { return format_quantity(value, Quantity::per_second); };
  text += fmt::format("    work: {{hash: {}, gather: {}, pack: {}, update: {}, lists: {}}}\n", ids(work.hash_ids_per_s),
                      rate(work.gather_bytes_per_s), rate(work.pack_bytes_per_s), rate(work.update_bytes_per_s),
                      ids(work.list_ids_per_s));
  if (domain.batch_weight != 1) text += fmt::format("    batch_weight: {}\n", domain.batch_weight);
  if (!domain.holds) text += "    holds: false\n";
  if (domain.access_group != 0) text += fmt::format("    access_group: {}\n", domain.access_group);
  return text;
}

std::string section(const std::string& title, const Names& names) {
  if (names.entries().empty()) return "";
  std::string text = title + ":\n";
  for (const auto& [name, fields] : names.entries()) text += fmt::format("  {}: {{{}}}\n", yaml_text(name), fields);
  return text;
}

}  // namespace

std::string write_topology(const placement::Topology& topology, const std::string& comment) {
  const placement::Tree tree(topology);
  std::string text;
  std::istringstream lines(comment);
  for (std::string line; std::getline(lines, line);) text += "# " + line + "\n";

  Names links, stores, domain_names;
  std::vector<std::string> names;
  std::string domains = "domains:\n";
  for (int d = 0; d < tree.size(); ++d) {
    const Domain& domain = tree.domain(d);
    names.push_back(domain_names.add(domain.name, fmt::to_string(d)));
    domains += fmt::format("  - name: {}\n", yaml_text(names.back()));
    if (domain.parent >= 0) domains += fmt::format("    parent: {}\n", yaml_text(names[domain.parent]));
    if (domain.count != 1) domains += fmt::format("    count: {}\n", domain.count);
    std::vector<std::string> used;
    for (const Port& port : domain.ports) {
      std::string fields = link_text(port);
      if (port.first_stage != 1 || port.last_stage != 0)
        fields +=
            fmt::format(", stages: [{}, {}]", port.first_stage, port.last_stage ? port.last_stage : tree.level(d));
      used.push_back(yaml_text(links.add(port.name, fields)));
    }
    if (!used.empty()) domains += fmt::format("    links: [{}]\n", fmt::join(used, ", "));
    used.clear();
    for (const Store& store : domain.stores) used.push_back(yaml_text(stores.add(store.name, store_text(store))));
    if (!used.empty()) domains += fmt::format("    stores: [{}]\n", fmt::join(used, ", "));
    if (domain.proxy_weight >= 0) domains += fmt::format("    proxy_weight: {}\n", domain.proxy_weight);
    if (tree.is_rank(d)) domains += rank_text(domain);
  }
  text += fmt::format("name: {}\n", yaml_text(topology.name));
  if (!topology.rank_of_leaf.empty()) text += fmt::format("ranks: [{}]\n", fmt::join(topology.rank_of_leaf, ", "));
  return text + section("links", links) + section("stores", stores) + domains;
}

}  // namespace sparrow
