// Compares samples, generated or real, with what was measured of a Criteo data set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "synthetic/criteo_statistics.hpp"
#include "synthetic/generator_samples.hpp"

namespace sparrow {

/// One line of the comparison. It holds when |found - measured| <= allowed.
struct ReportRow {
  std::string name;
  double measured = 0, found = 0, allowed = 0;
  bool holds() const { return found >= measured - allowed && found <= measured + allowed; }
};

/// What is compared, with the deviation allowed (besides four standard errors of a share in either sample):
///   distinct / total at batch 2,048 and top shares           5 % of the measured figure
///   accesses to pairs that the batch before used             5 %
///   columns that are functions: samples that contradict      none; where the real ones do, up to 3 times as many
///   missing values, per group, and clicks                    3 %, and 5 % for clicks
///   integers: share of values up to each measured quantile   0.01, the worst of the eight quantiles
///   integers: rank correlations, the worst of the 78 pairs   0.06
/// Rows that need more samples than there are, or integers that npy shards do not have, are left out.
std::vector<ReportRow> compare(const RawSamples& samples, const CriteoStatistics& statistics);

/// A table of name, measured, found, deviation and whether it holds; one line per row.
std::string format_report(const std::vector<ReportRow>& rows);

/// The rows as JSON, to `path`. Throws Error when it cannot be written.
void write_report(const std::vector<ReportRow>& rows, int64_t samples, std::string_view like, const std::string& path);

}  // namespace sparrow
