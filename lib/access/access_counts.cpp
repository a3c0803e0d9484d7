#include "access/access_counts.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "access/counts.hpp"
#include "access/distributions.hpp"
#include "access/group_counts.hpp"
#include "base/error.hpp"
#include "base/text_file.hpp"
#include "comm/collectives.hpp"
#include "data/npy.hpp"
#include "data/position_map.hpp"

namespace sparrow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int64_t kCountedPieces = 16;

/// `samples` samples spread over the range: parts of the data may differ (days).
std::vector<SampleRange> spread(SampleRange range, int64_t samples) {
  std::vector<SampleRange> ranges;
  const int64_t pieces = std::min(samples, kCountedPieces);
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t first = range.first + range.size() * i / pieces;
    ranges.push_back({first, first + samples * (i + 1) / pieces - samples * i / pieces});
  }
  return ranges;
}

std::string groups_path(const std::string& folder) {
  return folder + "/groups.json";
}

std::string classes_path(const std::string& folder, size_t table) {
  return counts_file(folder, "group_histogram", static_cast<int64_t>(table));
}

/// Counts of the whole data: of the counts files, or of a sample that this rank reads.
void make_common_counts(const DataOptions& options, const Dataset& train, SampleRange range, const TableShapes& shapes,
                        const std::string& folder) {
  Counts counts;
  if (!options.counts.empty()) {
    counts = load_counts(options.counts, shapes.rows);
  } else {
    counts = zero_counts(shapes);
    const int64_t samples = std::min(options.count_samples, range.size());
    for (const SampleRange piece : spread(range, samples)) count_ids(train, piece, shapes, counts);
    spdlog::info("counted the rows of {} samples", samples);
  }
  PositionMap::by_count(counts).save(folder);
  save_histograms(folder, counts);
}

/// This rank's counts of a sample of its part.
SeenCounts count_part(const DataOptions& options, const Dataset& train, SampleRange whole, const TableShapes& shapes,
                      SampleRange part) {
  const double share = std::min(1.0, static_cast<double>(options.count_samples) / static_cast<double>(whole.size()));
  const auto wanted = static_cast<int64_t>(std::ceil(share * static_cast<double>(part.size())));
  return count_seen(train, spread(part, std::min(part.size(), wanted)), shapes);
}

/// Everybody's counts at rank 0, by rank; a table at a time, so that no message has more than one table's.
std::vector<SeenCounts> gather_counts(Comm& comm, const SeenCounts& own, const TableShapes& shapes) {
  std::vector<SeenCounts> by_rank(comm.rank() == 0 ? static_cast<size_t>(comm.size()) : 0);
  for (size_t t = 0; t < own.size(); ++t) {
    const std::vector<std::string> texts = gather(comm, serialize(own[t]), 0);
    for (size_t rank = 0; rank < texts.size(); ++rank)
      by_rank[rank].push_back(deserialize_seen_rows(texts[rank], shapes.rows[t]));
  }
  return by_rank;
}

/// groups.json.
struct Groups {
  int64_t groups = 0;
  std::vector<int> group_of_rank;
  std::vector<double> ratios;                                ///< by table, of counts that a class takes to be alike
  std::vector<std::pair<int64_t, int64_t>> samples_of_rank;  ///< first and last
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Groups, groups, group_of_rank, ratios, samples_of_rank)

std::vector<std::pair<int64_t, int64_t>> samples_of(const RankParts& parts) {
  std::vector<std::pair<int64_t, int64_t>> samples;
  for (const SampleRange part : parts.of_rank) samples.emplace_back(part.first, part.last);
  return samples;
}

void save_groups(const std::string& folder, const RankGroups& found, const RankParts& parts,
                 const TableShapes& shapes) {
  Groups groups{std::ssize(found.counts), found.of_rank, {}, samples_of(parts)};
  std::vector<std::vector<int32_t>> positions;
  for (size_t t = 0; t < shapes.rows.size(); ++t) {
    std::vector<const SeenRows*> of_group;
    for (const SeenCounts& counts : found.counts) of_group.push_back(&counts[t]);
    GroupedTable table = group_rows(of_group, shapes.rows[t]);
    std::vector<int64_t> flat;
    for (const GroupCountBin& of_class : table.classes) {
      flat.push_back(of_class.rows);
      flat.insert(flat.end(), of_class.lookups.begin(), of_class.lookups.end());
    }
    write_npy<int64_t>(classes_path(folder, t), flat, {std::ssize(table.classes), 1 + std::ssize(of_group)});
    positions.push_back(std::move(table.positions));
    groups.ratios.push_back(table.ratio);
  }
  PositionMap::of(std::move(positions)).save(folder);
  write_text_file(groups_path(folder), json(groups).dump(1));
}

void make_group_counts(Comm& comm, const DataOptions& options, const Dataset& train, SampleRange range,
                       const TableShapes& shapes, const RankParts& parts, const std::string& folder) {
  const SeenCounts own = count_part(options, train, range, shapes, parts.of_rank.at(comm.rank()));
  std::vector<SeenCounts> by_rank = gather_counts(comm, own, shapes);
  if (comm.rank() != 0) return;
  const RankGroups groups =
      parts.groups.empty() ? group_ranks(std::move(by_rank)) : group_ranks(std::move(by_rank), parts.groups);
  spdlog::info(
      "counted the rows of {} samples; kinds of data that ranks draw from: {} (unlike by up to {:.2f} within one)",
      std::min(options.count_samples, range.size()), groups.counts.size(), std::max(0.0, groups.widest));
  save_groups(folder, groups, parts, shapes);
}

}  // namespace

void make_counts(Comm& comm, const DataOptions& options, const Dataset& train, SampleRange range,
                 const TableShapes& shapes, const RankParts& parts, const std::string& folder) {
  const bool there = fs::exists(folder);
  barrier(comm);  // everyone has looked before rank 0 makes it
  if (there) return;
  const std::string unfinished = folder + ".unfinished";
  if (comm.rank() == 0) {
    fs::remove_all(unfinished);
    fs::create_directories(unfinished);
  }
  if (!parts.of_rank.empty() && options.counts.empty()) {
    make_group_counts(comm, options, train, range, shapes, parts, unfinished);
  } else if (comm.rank() == 0) {
    make_common_counts(options, train, range, shapes, unfinished);
    if (!parts.of_rank.empty())
      spdlog::warn("data.counts do not say which rank looks up what: the plan takes all ranks to draw alike");
  }
  if (comm.rank() == 0) fs::rename(unfinished, folder);
  barrier(comm);
}

namespace {

std::vector<GroupCountBin> load_classes(const std::string& path, int64_t rows, int64_t groups) {
  const NpyFile file(path);
  const std::span<const int64_t> values = file.values<int64_t>();
  if (groups < 1 || file.columns() != 1 + groups)
    fail("{}: {} columns, {} expected: rows, and lookups of {} groups", path, file.columns(), 1 + groups, groups);
  std::vector<GroupCountBin> classes;
  int64_t left = rows, lookups_left = std::numeric_limits<int64_t>::max();  // more cannot have been counted
  for (auto at = values.begin(); at != values.end(); at += 1 + groups) {
    classes.push_back({*at, {at + 1, at + 1 + groups}});
    const auto& lookups = classes.back().lookups;
    if (*at < 1 || *at > left) fail("{}: class {} has {} rows of {} left", path, classes.size() - 1, *at, left);
    left -= *at;
    for (const int64_t of_group : lookups) {
      if (of_group < 0 || of_group > lookups_left)
        fail("{}: class {} was looked up {} times", path, classes.size() - 1, of_group);
      lookups_left -= of_group;
    }
  }
  if (left != 0) fail("{}: {} rows are missing", path, left);
  return classes;
}

Groups load_groups(const std::string& path, size_t tables) {
  Groups groups;
  try {
    groups = json::parse(read_text_file(path)).get<Groups>();
  } catch (const json::exception& error) {
    fail("{}: {}", path, error.what());
  }
  for (const int group : groups.group_of_rank)
    if (group < 0 || group >= groups.groups) fail("{}: group {} of {}", path, group, groups.groups);
  if (groups.ratios.size() != tables || groups.group_of_rank.size() != groups.samples_of_rank.size())
    fail("{}: {} ratios for {} tables, {} groups for {} ranks", path, groups.ratios.size(), tables,
         groups.group_of_rank.size(), groups.samples_of_rank.size());
  return groups;
}

/// All groups as one.
void take_together(std::vector<GroupCountBin>& classes) {
  for (GroupCountBin& of_class : classes)
    of_class.lookups = {std::accumulate(of_class.lookups.begin(), of_class.lookups.end(), int64_t{0})};
}

}  // namespace

AccessCounts load_counts_of_run(const std::string& folder, const DataOptions& options, SampleRange range,
                                const TableShapes& shapes, const RankParts& parts) {
  AccessCounts counts;
  const bool sampled = options.counts.empty() && options.count_samples < range.size();
  const std::string path = groups_path(folder);
  counts.grouped = fs::exists(path);
  if (!counts.grouped) {
    for (Histogram& histogram : load_histograms(folder, shapes.rows))
      counts.tables.push_back(sampled ? from_sample(histogram, rows_of(histogram)) : from_histogram(histogram));
    return counts;
  }
  const Groups groups = load_groups(path, shapes.rows.size());
  const bool of_these_parts = groups.samples_of_rank == samples_of(parts);
  if (!of_these_parts && !parts.of_rank.empty())
    spdlog::warn(
        "rows were counted for other parts of the data than this run's ranks have: planned as if they drew alike");
  for (size_t t = 0; t < shapes.rows.size(); ++t) {
    std::vector<GroupCountBin> classes = load_classes(classes_path(folder, t), shapes.rows[t], groups.groups);
    if (!of_these_parts) take_together(classes);
    counts.tables.push_back(from_group_counts(classes, sampled, groups.ratios[t]));
  }
  counts.group_of_rank = of_these_parts ? groups.group_of_rank : std::vector<int>(groups.group_of_rank.size(), 0);
  return counts;
}

}  // namespace sparrow
