#include "base/locality.hpp"

#include <hwloc.h>

#include <algorithm>
#include <memory>

#include "base/error.hpp"

namespace sparrow {
namespace {

std::string list_of(hwloc_const_bitmap_t set) {
  std::string text(hwloc_bitmap_list_snprintf(nullptr, 0, set), '\0');
  hwloc_bitmap_list_snprintf(text.data(), text.size() + 1, set);
  return text;
}

/// Adapters of this kind that share most of their way to the processors, bridges and switches, with `device`.
std::vector<std::string> nearest(hwloc_topology_t machine, hwloc_obj_t device, hwloc_obj_osdev_type_t kind) {
  std::vector<std::string> names;
  for (hwloc_obj_t shared = device; shared != nullptr && names.empty(); shared = shared->parent)
    for (hwloc_obj_t adapter = nullptr; (adapter = hwloc_get_next_osdev(machine, adapter)) != nullptr;) {
      hwloc_obj_t above = adapter;
      while (above != nullptr && above != shared) above = above->parent;
      if (above != nullptr && adapter->attr->osdev.type == kind) names.emplace_back(adapter->name);
    }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Locality bind_near(const std::string& pci) {
  Locality locality;
  hwloc_topology_t created = nullptr;
  if (hwloc_topology_init(&created) != 0) return locality;
  const std::unique_ptr<hwloc_topology, decltype(&hwloc_topology_destroy)> machine(created, hwloc_topology_destroy);
  // What is beside the device may be forbidden to us.
  hwloc_topology_set_flags(created, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
  hwloc_topology_set_io_types_filter(created, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  if (hwloc_topology_load(created) != 0) return locality;
  const hwloc_obj_t device = hwloc_get_pcidev_by_busidstring(created, pci.c_str());
  if (device == nullptr) return locality;
  const hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(created, device);
  if (hwloc_bitmap_weight(place->nodeset) == 1) locality.numa_node = hwloc_bitmap_first(place->nodeset);
  locality.processors = list_of(place->cpuset);
  locality.nearest_adapters = nearest(created, device, HWLOC_OBJ_OSDEV_OPENFABRICS);
  if (locality.nearest_adapters.empty()) locality.nearest_adapters = nearest(created, device, HWLOC_OBJ_OSDEV_NETWORK);
  const std::unique_ptr<hwloc_bitmap_s, decltype(&hwloc_bitmap_free)> both(hwloc_bitmap_alloc(), hwloc_bitmap_free);
  if (hwloc_get_cpubind(created, both.get(), HWLOC_CPUBIND_THREAD) != 0) return locality;
  hwloc_bitmap_and(both.get(), both.get(), place->cpuset);
  if (hwloc_bitmap_iszero(both.get()) || hwloc_set_cpubind(created, both.get(), HWLOC_CPUBIND_PROCESS) != 0)
    return locality;
  locality.bound = list_of(both.get());
  return locality;
}

}  // namespace sparrow
