#include "access/access_counter.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "access/bytes.hpp"
#include "base/error.hpp"
#include "base/random.hpp"

namespace sparrow {

namespace {

/// Number of the range that a position is in: four to the octave, single positions below 4.
size_t range_of(int64_t position) {
  if (position < 4) return static_cast<size_t>(position);
  const int octave = static_cast<int>(std::bit_width(static_cast<uint64_t>(position))) - 1;
  return static_cast<size_t>(4 * (octave - 1) + ((position >> (octave - 2)) & 3));
}

int64_t first_of_range(size_t range) {
  if (range < 4) return static_cast<int64_t>(range);
  const auto octave = static_cast<int>(range / 4) + 1;
  return (4 + static_cast<int64_t>(range % 4)) << (octave - 2);
}

}  // namespace

TrackedRows::TrackedRows(int64_t most_rows)
    : most_rows_(most_rows), entries_(std::bit_ceil(static_cast<size_t>(std::max<int64_t>(4, 2 * most_rows)))) {}

TrackedRows::Entry& TrackedRows::find(int64_t position) {
  const size_t mask = entries_.size() - 1;
  size_t at = mix64(static_cast<uint64_t>(position)) & mask;
  while (entries_[at].position >= 0 && entries_[at].position != position) at = (at + 1) & mask;
  return entries_[at];
}

void TrackedRows::add(int64_t position, double count) {
  Entry& entry = find(position);
  if (entry.position < 0) {
    entry = {position, 0};
    ++used_;
  }
  entry.count += count;
  if (used_ > most_rows_) purge();
}

double TrackedRows::estimate(int64_t position) const {
  return const_cast<TrackedRows*>(this)->find(position).count;  // a free entry's is 0
}

/// Takes the median from all counts.
void TrackedRows::purge() {
  counts_.clear();
  for (const Entry& entry : entries_)
    if (entry.position >= 0) counts_.push_back(entry.count);
  const auto middle = counts_.begin() + static_cast<int64_t>(counts_.size() / 2);
  std::nth_element(counts_.begin(), middle, counts_.end());
  const double median = *middle;
  missed_ += median;
  std::vector<Entry> left;
  for (Entry& entry : entries_) {
    if (entry.position >= 0 && entry.count > median) left.push_back({entry.position, entry.count - median});
    entry = {};
  }
  for (const Entry& entry : left) find(entry.position) = entry;
  used_ = static_cast<int64_t>(left.size());
}

void TrackedRows::scale(double factor) {
  for (Entry& entry : entries_) entry.count *= factor;
  missed_ *= factor;
}

std::vector<std::pair<int64_t, double>> TrackedRows::rows() const {
  std::vector<std::pair<int64_t, double>> list;
  for (const Entry& entry : entries_)
    if (entry.position >= 0) list.emplace_back(entry.position, entry.count);
  std::sort(list.begin(), list.end());
  return list;
}

int64_t TrackedRows::bytes() const {
  return static_cast<int64_t>(entries_.size() * sizeof(Entry) + counts_.capacity() * sizeof(double));
}

AccessCounter::AccessCounter(std::span<const int64_t> rows, const AccessCounterOptions& options) : options_(options) {
  SPARROW_CHECK(options.exact_rows >= 0 && options.tracked_rows >= 2);
  for (const int64_t n : rows) {
    SPARROW_CHECK(n > 0, "a table of {} rows", n);
    Table table;
    table.rows = n;
    table.head.assign(std::min(n, options.exact_rows), 0);
    if (n > options.exact_rows) {
      table.range_lookups.assign(range_of(n - 1) + 1, 0);
      table.tracked = TrackedRows(options.tracked_rows);
    }
    tables_.push_back(std::move(table));
  }
}

AccessCounter AccessCounter::emptied() const {
  std::vector<int64_t> rows;
  for (const Table& table : tables_) rows.push_back(table.rows);
  return AccessCounter(rows, options_);
}

void AccessCounter::count(const Batch& batch) {
  SPARROW_CHECK(batch.tables == tables(), "a batch of {} tables, {} are counted", batch.tables, tables());
  for (int t = 0; t < tables(); ++t) {
    Table& table = tables_[t];
    const auto exact = static_cast<int64_t>(table.head.size());
    for (int64_t l = batch.first_lookup(t); l < batch.first_lookup(t + 1); ++l) {
      const int64_t position = batch.positions[l];
      if (position < exact) {
        table.head[position] += 1;
      } else {
        table.range_lookups[range_of(position)] += 1;
        table.tracked.add(position, 1);
      }
    }
  }
}

void AccessCounter::scale(double factor) {
  for (Table& table : tables_) {
    for (auto* counts : {&table.head, &table.range_lookups})
      for (double& count : *counts) count *= factor;
    table.tracked.scale(factor);
  }
}

void AccessCounter::merge(const AccessCounter& other) {
  SPARROW_CHECK(other.tables() == tables());
  for (size_t t = 0; t < tables_.size(); ++t) {
    Table& table = tables_[t];
    const Table& more = other.tables_[t];
    SPARROW_CHECK(more.rows == table.rows && more.head.size() == table.head.size(), "counters of other tables");
    for (size_t i = 0; i < table.head.size(); ++i) table.head[i] += more.head[i];
    for (size_t i = 0; i < table.range_lookups.size(); ++i) table.range_lookups[i] += more.range_lookups[i];
    for (const auto& [position, count] : more.tracked.rows()) table.tracked.add(position, count);
    table.tracked.add_missed(more.tracked.most_missed());
  }
}

double AccessCounter::lookups(int table) const {
  double sum = 0;
  for (const auto* counts : {&of(table).head, &of(table).range_lookups})
    sum = std::accumulate(counts->begin(), counts->end(), sum);
  return sum;
}

std::vector<AccessCounter::Range> AccessCounter::ranges(int table) const {
  std::vector<Range> list;
  const auto exact = static_cast<int64_t>(of(table).head.size());
  for (size_t r = 0; r < of(table).range_lookups.size(); ++r) {
    const int64_t first = std::max(exact, first_of_range(r));
    const int64_t end = std::min(of(table).rows, first_of_range(r + 1));
    if (first < end) list.push_back({first, end, of(table).range_lookups[r]});
  }
  return list;
}

std::string AccessCounter::serialize() const {
  std::string bytes;
  for (const int64_t number : {options_.exact_rows, options_.tracked_rows, std::ssize(tables_)})
    put_value(bytes, number);
  for (const Table& table : tables_) {
    put_value(bytes, table.rows);
    put_values(bytes, std::span<const double>(table.head));
    put_values(bytes, std::span<const double>(table.range_lookups));
    const auto rows = table.tracked.rows();
    put_value(bytes, table.tracked.most_missed());
    put_value(bytes, int64_t{std::ssize(rows)});
    for (const auto& [position, count] : rows) {
      put_value(bytes, position);
      put_value(bytes, count);
    }
  }
  return bytes;
}

void AccessCounter::restore(std::string_view bytes) {
  ByteReader reader(bytes);
  const auto exact = reader.take<int64_t>(), tracked = reader.take<int64_t>(), tables = reader.take<int64_t>();
  if (exact != options_.exact_rows || tracked != options_.tracked_rows || tables != this->tables())
    fail("saved access counts are of {} tables with {} + {} counters, this run has {} with {} + {}", tables, exact,
         tracked, this->tables(), options_.exact_rows, options_.tracked_rows);
  for (Table& table : tables_) {
    if (const auto rows = reader.take<int64_t>(); rows != table.rows)
      fail("saved access counts are of a table of {} rows, this one has {}", rows, table.rows);
    reader.take(std::span(table.head));
    reader.take(std::span(table.range_lookups));
    table.tracked = TrackedRows(table.range_lookups.empty() ? 0 : options_.tracked_rows);
    table.tracked.add_missed(reader.take<double>());
    const auto rows = reader.take<int64_t>();
    if (rows < 0 || rows > options_.tracked_rows) fail("saved access counts have {} tracked rows", rows);
    for (int64_t i = 0; i < rows; ++i) {
      const auto position = reader.take<int64_t>();
      if (position < 0 || position >= table.rows) fail("saved access counts name row {} of {}", position, table.rows);
      table.tracked.add(position, reader.take<double>());
    }
  }
  if (!reader.at_end()) fail("saved access counts go on after their end");
}

int64_t AccessCounter::bytes() const {
  int64_t sum = 0;
  for (const Table& table : tables_)
    sum +=
        static_cast<int64_t>((table.head.size() + table.range_lookups.size()) * sizeof(double)) + table.tracked.bytes();
  return sum;
}

}  // namespace sparrow
