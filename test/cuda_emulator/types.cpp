// Names of types and special registers.
#include <algorithm>
#include <unordered_map>

#include "ptx.hpp"

namespace sparrow::emulator {
namespace {

struct TypeName {
  const char* name;
  Type type;
  int bytes;
};

constexpr TypeName kTypes[] = {{"b8", Type::b8, 1},         {"u8", Type::u8, 1},      {"s8", Type::s8, 1},
                               {"b16", Type::b16, 2},       {"u16", Type::u16, 2},    {"s16", Type::s16, 2},
                               {"f16", Type::f16, 2},       {"bf16", Type::bf16, 2},  {"f16x2", Type::f16x2, 4},
                               {"bf16x2", Type::bf16x2, 4}, {"b32", Type::b32, 4},    {"u32", Type::u32, 4},
                               {"s32", Type::s32, 4},       {"f32", Type::f32, 4},    {"tf32", Type::tf32, 4},
                               {"b64", Type::b64, 8},       {"u64", Type::u64, 8},    {"s64", Type::s64, 8},
                               {"f64", Type::f64, 8},       {"b128", Type::b128, 16}, {"pred", Type::pred, 4}};

struct SpecialName {
  Special place;
  uint8_t size;
};

// Clusters: every block is a cluster of its own.
const std::unordered_map<std::string, SpecialName> kSpecials = {{"%tid.x", {Special::tid_x, 4}},
                                                                {"%tid.y", {Special::tid_y, 4}},
                                                                {"%tid.z", {Special::tid_z, 4}},
                                                                {"%ntid.x", {Special::ntid_x, 4}},
                                                                {"%ntid.y", {Special::ntid_y, 4}},
                                                                {"%ntid.z", {Special::ntid_z, 4}},
                                                                {"%ctaid.x", {Special::ctaid_x, 4}},
                                                                {"%ctaid.y", {Special::ctaid_y, 4}},
                                                                {"%ctaid.z", {Special::ctaid_z, 4}},
                                                                {"%nctaid.x", {Special::nctaid_x, 4}},
                                                                {"%nctaid.y", {Special::nctaid_y, 4}},
                                                                {"%nctaid.z", {Special::nctaid_z, 4}},
                                                                {"%laneid", {Special::laneid, 4}},
                                                                {"%warpid", {Special::warpid, 4}},
                                                                {"%nwarpid", {Special::nwarpid, 4}},
                                                                {"%lanemask_eq", {Special::lanemask_eq, 4}},
                                                                {"%lanemask_lt", {Special::lanemask_lt, 4}},
                                                                {"%lanemask_le", {Special::lanemask_le, 4}},
                                                                {"%lanemask_gt", {Special::lanemask_gt, 4}},
                                                                {"%lanemask_ge", {Special::lanemask_ge, 4}},
                                                                {"%smid", {Special::smid, 4}},
                                                                {"%nsmid", {Special::nsmid, 4}},
                                                                {"%dynamic_smem_size", {Special::dynamic_smem_size, 4}},
                                                                {"%total_smem_size", {Special::total_smem_size, 4}},
                                                                {"%gridid", {Special::zero, 8}},
                                                                {"%clock", {Special::clock, 4}},
                                                                {"%clock_hi", {Special::zero, 4}},
                                                                {"%clock64", {Special::clock, 8}},
                                                                {"%globaltimer", {Special::globaltimer, 8}},
                                                                {"%globaltimer_lo", {Special::globaltimer, 4}},
                                                                {"%globaltimer_hi", {Special::zero, 4}},
                                                                {"%cluster_ctaid.x", {Special::zero, 4}},
                                                                {"%cluster_ctaid.y", {Special::zero, 4}},
                                                                {"%cluster_ctaid.z", {Special::zero, 4}},
                                                                {"%cluster_nctaid.x", {Special::one, 4}},
                                                                {"%cluster_nctaid.y", {Special::one, 4}},
                                                                {"%cluster_nctaid.z", {Special::one, 4}},
                                                                {"%cluster_ctarank", {Special::zero, 4}},
                                                                {"%cluster_nctarank", {Special::one, 4}},
                                                                {"%clusterid.x", {Special::ctaid_x, 4}},
                                                                {"%clusterid.y", {Special::ctaid_y, 4}},
                                                                {"%clusterid.z", {Special::ctaid_z, 4}},
                                                                {"%nclusterid.x", {Special::nctaid_x, 4}},
                                                                {"%nclusterid.y", {Special::nctaid_y, 4}},
                                                                {"%nclusterid.z", {Special::nctaid_z, 4}},
                                                                {"%is_explicit_cluster", {Special::zero, 0}}};

}  // namespace

int size_of(Type type) {
  for (const TypeName& entry : kTypes) {
    if (entry.type == type) return entry.bytes;
  }
  return 4;
}

Type type_named(std::string_view name) {
  for (const TypeName& entry : kTypes) {
    if (entry.name == name) return entry.type;
  }
  return Type::none;
}

bool is_signed_integer(Type type) {
  return type == Type::s8 || type == Type::s16 || type == Type::s32 || type == Type::s64;
}

bool find_special(const std::string& name, int& offset, uint8_t& size) {
  const auto entry = kSpecials.find(name);
  if (entry != kSpecials.end()) {
    offset = offset_of(entry->second.place);
    size = entry->second.size;
    return true;
  }
  if (name.compare(0, 7, "%envreg") != 0) return false;
  // A cooperative grid finds its workspace's address in two of these; the others are 0.
  offset = offset_of(name == "%envreg1" ? Special::envreg1 : name == "%envreg2" ? Special::envreg2 : Special::zero);
  size = 4;
  return true;
}

}  // namespace sparrow::emulator
