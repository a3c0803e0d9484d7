// One line of Criteo's text format: label, 13 integers, 26 categories of eight hexadecimal digits, separated by tabs,
// ended by a line feed. An empty integer or category is a missing value. Lines end in LF as published; CRLF is refused,
// with a message that says so.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sparrow {

/// Parses the line that begins at `line`, in text that ends at `end` (> line). The last line may lack its line feed.
/// Writes the label (0 or 1), dense[0..12] = criteo_dense_value of the integers and categories[t * stride]; an empty
/// category is 0. Integers may be as large as int64. Returns where the next line begins; nullptr for a malformed line,
/// with the outputs undefined. Never reads outside [line, end), never allocates.
const char* parse_criteo_line(const char* line, const char* end, float& label, float* dense, uint32_t* categories,
                              int64_t stride);

/// Why parse_criteo_line refuses this line (without its line feed), with the first wrong column named.
std::string explain_criteo_line(std::string_view line);

/// "I7", "C26" or "label" for column 0 .. 39.
std::string criteo_column_name(int column);

}  // namespace sparrow
