#include "config/locality_file.hpp"

#include "base/error.hpp"
#include "base/text_file.hpp"
#include "config/json_reader.hpp"

namespace sparrow {
namespace {

using placement::LocalityMeasurement;
using placement::LocalityProfile;

constexpr const char* kFormat = "sparrow-locality";
constexpr int64_t kMostBytes = int64_t{1} << 26;
constexpr int64_t kMostRanks = int64_t{1} << 20;
constexpr int64_t kMostBatch = int64_t{1} << 40;
constexpr size_t kDeepest = 16;
constexpr double kMostFactor = 1e6;

std::string list_text(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(fmt::format("{:.4g}", value));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

std::string bin_text(const LocalityMeasurement::Bin& bin) {
  return fmt::format("[{:.8g}, {:.0f}, {:.4g}, {}, {}, {}, {}]", bin.lookups, bin.uses, bin.new_share,
                     list_text(bin.of_held.into), list_text(bin.of_held.distinct), list_text(bin.of_new.into),
                     list_text(bin.of_new.distinct));
}

std::string measurement_text(const LocalityMeasurement& m) {
  std::vector<std::string> tables;
  for (const std::vector<LocalityMeasurement::Bin>& bins : m.tables) {
    std::vector<std::string> texts;
    for (const LocalityMeasurement::Bin& bin : bins) texts.push_back(bin_text(bin));
    tables.push_back(fmt::format("   [{}]", fmt::join(texts, ",\n    ")));
  }
  return fmt::format(
      "{{\"domains\": [{}], \"global_batch\": {}, \"delay\": {}, \"passes\": {}, \"holders\": \"{}\", "
      "\"generated\": {},\n  \"batches\": {}, \"first_counted\": {}, \"busiest\": {:.4g}, \"new_row_bytes\": {:.4g}, "
      "\"seconds_per_sample\": {:.3g},\n  \"tables\": [\n{}\n  ]}}",
      fmt::join(m.domains, ", "), m.global_batch, m.delay, m.passes, m.first_use ? "first_use" : "arithmetic",
      m.generated, m.batches, m.first_counted, m.busiest, m.new_row_bytes, m.seconds_per_sample,
      fmt::join(tables, ",\n"));
}

std::vector<double> read_factors(const JsonValue& value, size_t depth) {
  std::vector<double> factors;
  for (const JsonValue& item : value.items()) factors.push_back(item.real(0, kMostFactor));
  if (factors.size() != depth) value.wrong(fmt::format("{} factors for {} levels", factors.size(), depth));
  return factors;
}

LocalityMeasurement::Bin read_bin(const JsonValue& value, size_t depth) {
  const auto fields = value.items();
  if (fields.size() != 7) value.wrong("not 7 values: lookups, uses, share of new rows, and 4 lists of factors");
  LocalityMeasurement::Bin bin;
  bin.lookups = fields[0].real(0, 1e18);
  bin.uses = fields[1].real(0, 1e18);
  bin.new_share = fields[2].real(0, 1);
  bin.of_held = {read_factors(fields[3], depth), read_factors(fields[4], depth)};
  bin.of_new = {read_factors(fields[5], depth), read_factors(fields[6], depth)};
  return bin;
}

std::vector<int64_t> read_domains(const JsonValue& value) {
  std::vector<int64_t> domains;
  for (const JsonValue& item : value.items())
    domains.push_back(item.integer(domains.empty() ? 1 : domains.back(), kMostRanks));
  if (domains.empty() || domains.size() > kDeepest || domains.back() < 2)
    value.wrong(fmt::format("not the domains of 1 to {} levels, with 2 ranks at least", kDeepest));
  return domains;
}

LocalityMeasurement read_measurement(const JsonValue& value) {
  const auto fields = value.members({"domains", "global_batch", "delay", "passes", "holders", "generated", "batches",
                                     "first_counted", "busiest", "new_row_bytes", "seconds_per_sample", "tables"});
  LocalityMeasurement m;
  m.domains = read_domains(fields[0]);
  m.global_batch = fields[1].integer(1, kMostBatch);
  m.delay = static_cast<int>(fields[2].integer(1, kMostRanks));
  m.passes = static_cast<int>(fields[3].integer(0, 100));
  m.first_use = fields[4].choice({"arithmetic", "first_use"}) == 1;
  m.generated = fields[5].boolean();
  m.batches = fields[6].integer(1, kMostBatch);
  m.first_counted = fields[7].integer(0, m.batches - 1);
  m.busiest = fields[8].real(1, kMostFactor);
  m.new_row_bytes = fields[9].real(0, 16);
  m.seconds_per_sample = fields[10].real(0, 1e3);
  for (const JsonValue& table : fields[11].items()) {
    m.tables.emplace_back();
    for (const JsonValue& item : table.items()) {
      m.tables.back().push_back(read_bin(item, m.domains.size()));
      const auto& bins = m.tables.back();
      if (bins.size() > 1 && !(bins[bins.size() - 2].lookups < bins.back().lookups))
        item.wrong("bins are not in the order of rising lookups");
    }
  }
  if (m.tables.empty()) fields[11].wrong("no tables");
  return m;
}

}  // namespace

std::string write_locality(const LocalityProfile& profile) {
  std::vector<std::string> measurements;
  for (const LocalityMeasurement& m : profile.measurements) measurements.push_back(measurement_text(m));
  return fmt::format("{{\n\"format\": \"{}\", \"version\": 1,\n\"data\": {},\n\"measurements\": [\n {}\n]}}\n", kFormat,
                     quoted(profile.data), fmt::join(measurements, ",\n "));
}

void save_locality(const std::string& path, const LocalityProfile& profile) {
  write_text_file(path, write_locality(profile));
}

LocalityProfile parse_locality(std::string_view text, const std::string& name) {
  const nlohmann::json document = parse_json(text, name);
  const JsonValue root(document, "", name);
  const auto fields = root.members({"format", "version", "data", "measurements"});
  fields[0].choice({kFormat});
  fields[1].integer(1, 1);
  LocalityProfile profile;
  profile.data = fields[2].text();
  for (const JsonValue& item : fields[3].items()) {
    profile.measurements.push_back(read_measurement(item));
    if (std::ssize(profile.measurements.back().tables) != profile.tables())
      item.wrong(fmt::format("{} tables, others have {}", profile.measurements.back().tables.size(), profile.tables()));
  }
  if (profile.measurements.empty()) fields[3].wrong("no measurements");
  return profile;
}

LocalityProfile load_locality(const std::string& path) {
  return parse_locality(read_text_file(path, kMostBytes), path);
}

}  // namespace sparrow
