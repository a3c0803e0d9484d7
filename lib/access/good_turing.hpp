// What a sample of lookups says of rows by how often it saw them: Good and Turing's estimate, in the form of Gale and
// Sampson, "Good-Turing frequency estimation without tears", Journal of Quantitative Linguistics 2 (1995).
#pragma once

#include <cstdint>
#include <vector>

#include "access/histogram.hpp"

namespace sparrow {

/// Good-Turing's adjusted count r* of every bin with count > 0 (bins by falling count, no two of the same): Turing's
/// (r+1) N_{r+1} / N_r while it differs significantly from the log-linear fit of N, the fit from then on.
std::vector<double> adjusted_counts(const Histogram& histogram);

/// Makes p fall with the class by averaging neighbours that do not (pool adjacent violators), keeping the mass.
void make_monotone(const std::vector<int64_t>& rows, std::vector<double>& p);

}  // namespace sparrow
