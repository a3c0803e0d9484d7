// Table sets that need no data: Criteo Terabyte (all 882,774,559 rows, or at most 40 million a table as in MLPerf's
// DLRM-DCNv2: 204 million) and Criteo Kaggle, with access distributions fitted to real rows
// (criteo_statistics.hpp), and lists of row counts under a law.
//
// A missing value is a row like any other, the one that empty fields are mapped to. The fit holds for the time it was
// sampled in; over longer times rare values gather more of the accesses than it says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/distributions.hpp"

namespace sparrow {

struct PresetTable {
  std::string name;       ///< "C1"
  int64_t rows = 0;       ///< after folding
  int64_t values = 0;     ///< different values in the data; those beyond `rows` fall on the rows evenly (hashing)
  Law law;                ///< over the values, the missing one included
  int64_t multi_hot = 1;  ///< lookups per sample in MLPerf's multi-hot variant
};

/// The tables of "criteo-terabyte", "criteo-terabyte-40m" or "criteo-kaggle"; nothing for other names.
std::optional<std::vector<PresetTable>> find_preset(std::string_view name);

/// Classes of a preset's table.
placement::TableDistribution preset_distribution(const PresetTable& table);

/// The first `rows` rows; the accesses to the others fall on them evenly.
placement::TableDistribution folded(const placement::TableDistribution& distribution, int64_t rows);

/// Rows of tables from a list: "1000,2000,1e6" or with repetition "26x1e6". Each from 1 to 2^40. Throws Error naming
/// the text.
std::vector<int64_t> parse_table_rows(std::string_view text);

}  // namespace sparrow
