// How often rows are looked up where ranks see different data: counts by rank, ranks with like data put into groups,
// and rows with like counts in every group put into classes, which are ranges of positions.
//
// Memory is proportional to the rows that were seen, not to tables times ranks: a rank's counts are sorted lists of
// (id, count), 12 bytes for each row seen.
//
// Groups. Ranks a and b draw from the same rows in the same way, or they do not; `unlikeness` says how far they are
// apart, from the counts alone. With x_i and y_i lookups of row i, n_a and n_b in all, Pearson's statistic
//     X^2 = sum over i of (sqrt(n_b / n_a) x_i - sqrt(n_a / n_b) y_i)^2 / (x_i + y_i)
// is expected to be the number of rows seen, R, where a and b draw alike (given x_i + y_i, x_i is binomial). So
//     (X^2 - R) / (n_a + n_b - R)
// is 0 but for chance where they do and 1 where they share no row: the mean over lookups of ((p - q) / (p + q))^2, free
// of the bias that rare rows seem to belong to whoever happened to draw them. A group draws as its ranks do on average,
// so the distinct rows expected of them are too many, never too few: of a row with p = m (1 + d) here and m (1 - d)
// there, by exp(-x) (cosh(d x) - 1) where x = m b: at most d^2 / 2 of what is expected.
//
// Classes. Counts in each group are taken alike within a bucket: exact up to 16, then by a ratio of 1.1; coarser ones
// where that would make more than kMostCountClasses of a table. Sums stay exact, so a class has its rows' mean.
//
// Order. Positions go by who uses a row (the groups that look it up at least a quarter as often as its most frequent
// user; rows of many users first), then by falling octave of its lookups, then by class: what one client uses is a
// range of positions, which plans can give to it as a few intervals, and falls within itself. With a single group that
// is the order of falling counts, but for counts that share a class.
//
// Example: 2 groups, counts of ids 0 .. 5
//     (9,0) (0,1) (0,0) (0,9) (9,0) (1,1)
//     classes {5} {0 4} {3} {1} {2}    positions of ids 0 .. 5: 1 4 5 3 2 0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/histogram.hpp"
#include "data/dataset.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// The rows of one table that were seen, by rising id, and their lookups.
struct SeenRows {
  std::vector<int32_t> ids;
  std::vector<int64_t> counts;
  int64_t lookups() const;
};
/// By table.
using SeenCounts = std::vector<SeenRows>;

/// Lookups of the samples of all ranges together.
SeenCounts count_seen(const Dataset& data, std::span<const SampleRange> ranges, const TableShapes& shapes);

/// a + b.
SeenRows merged(const SeenRows& a, const SeenRows& b);

/// As bytes, to send, and back. Throws Error unless ids rise within 0 .. rows - 1 and counts are positive.
std::string serialize(const SeenRows& rows);
SeenRows deserialize_seen_rows(std::string_view bytes, int64_t rows);

/// 0 .. 1, see above; below 0 by chance. 0 if one has nothing that could tell.
double unlikeness(const SeenCounts& a, const SeenCounts& b);

constexpr double kAlike = 0.01;  ///< unlikeness up to which ranks share a group: half a percent too many distinct rows
constexpr int kMostAccessGroups = 16;
constexpr int kMostGivenGroups = 64;
constexpr size_t kMostCountClasses = 4096;  ///< of a table

/// Ranks by what they look up.
struct RankGroups {
  std::vector<int> of_rank;        ///< group of each rank; 0 for ranks without lookups
  std::vector<SeenCounts> counts;  ///< by group, sums over its ranks
  double widest = 0;               ///< the largest unlikeness that a group was made in spite of
};

/// In order of rank: each joins the group it is nearest to if they are alike, else it begins one; whenever there are
/// more than `most_groups`, the two nearest become one. by_rank[r]: counts of rank r, one or more with lookups.
RankGroups group_ranks(std::vector<SeenCounts> by_rank, int most_groups = kMostAccessGroups);
/// The groups that are given, numbered 0, 1, ... without gaps in the order of ranks with lookups. Throws Error if they
/// are more than kMostGivenGroups.
RankGroups group_ranks(std::vector<SeenCounts> by_rank, std::span<const int> group_of_rank);

/// One table's classes, in the order of positions, and the position of every id.
struct GroupedTable {
  std::vector<GroupCountBin> classes;
  std::vector<int32_t> positions;
  double ratio = 1;  ///< of counts taken to be alike, at most
};

/// of_group[g]: counts of group g in this table of `rows` rows.
GroupedTable group_rows(std::span<const SeenRows* const> of_group, int64_t rows,
                        size_t most_classes = kMostCountClasses);

}  // namespace sparrow
