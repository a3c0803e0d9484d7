// Numbers for people: 1.23 ms, 4.5 GB, 882,774,559.
#pragma once

#include <cstdint>
#include <string>

namespace sparrow {

std::string human_seconds(double seconds);
std::string human_bytes(double bytes);   ///< decimal units
std::string human_number(double value);  ///< 12.3 M
std::string with_commas(int64_t value);

}  // namespace sparrow
