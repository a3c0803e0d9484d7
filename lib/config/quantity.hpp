// Numbers with units, as people write them in topology files and on the command line: 80GiB, 25GB/s, 200Gbit/s, 5us,
// 60Tflop/s. Strict: the unit must belong to the kind of quantity, and nothing may follow it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sparrow {

enum class Quantity : uint8_t {
  bytes,             ///< B kB KB MB GB TB PB (1000), KiB MiB GiB TiB PiB (1024); no unit: bytes
  bytes_per_second,  ///< the units of bytes with /s, and bit/s kbit/s Mbit/s Gbit/s Tbit/s; "unlimited"
  seconds,           ///< s ms us ns
  per_second,        ///< /s k/s M/s G/s T/s; "unlimited"
  flop_per_second,   ///< flop/s Mflop/s Gflop/s Tflop/s Pflop/s; "unlimited"
};

/// The value in bytes, bytes/s, s, 1/s or flop/s: at least 0, finite (infinite for "unlimited"). A plain 0 needs no
/// unit. Throws Error "'5 apples' is ..." with an example of what is wanted.
double parse_quantity(std::string_view text, Quantity kind);

/// A whole number of bytes, from 0 to 2^60.
int64_t parse_bytes(std::string_view text);

/// The shortest text that parse_quantity reads back as exactly this value.
std::string format_quantity(double value, Quantity kind);

}  // namespace sparrow
