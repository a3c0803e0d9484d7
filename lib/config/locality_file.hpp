// Locality profiles as JSON files: written by `sparrow locality --out`, read by `sparrow plan --locality`, and kept by a
// run beside its other decisions (start/locality.json). What the numbers mean is said in
// placement/model/locality_profile.hpp; every field is written, and every one must be there.
//
//   {
//   "format": "sparrow-locality", "version": 1,
//   "data": "137139 samples of kaggle.tsv",
//   "measurements": [
//     {"domains": [2, 8], "global_batch": 8192, "delay": 1, "passes": 1, "holders": "first_use", "generated": false,
//      "batches": 16, "first_counted": 5, "busiest": 1.05, "new_row_bytes": 2.4, "seconds_per_sample": 1.4e-06,
//      "tables": [
//       [[0.25, 5210, 0.31, [0.09, 0.15], [0.5, 0.5], [0.01, 0.03], [0.4, 0.45]], ...],      a list of bins
//       ...
//      ]}
//   ]}
//
// A bin: expected lookups, uses, share of new rows among these; of held rows the factors on rows that enter domains of
// each level and on rows looked up in them; the same of new rows. The same profile gives the same bytes.
#pragma once

#include <string>
#include <string_view>

#include "placement/model/locality_profile.hpp"

namespace sparrow {

std::string write_locality(const placement::LocalityProfile& profile);
void save_locality(const std::string& path, const placement::LocalityProfile& profile);

/// Throws Error naming file and key for anything that is not a profile of version 1.
placement::LocalityProfile load_locality(const std::string& path);
placement::LocalityProfile parse_locality(std::string_view text, const std::string& name);

}  // namespace sparrow
