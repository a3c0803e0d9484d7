// The generator: the same bytes however the work is split, the figures of the real data, and broken runs that leave
// nothing false.
#include "synthetic/generator.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/error.hpp"
#include "data/criteo.hpp"
#include "data/npy.hpp"
#include "synthetic/generator_model.hpp"
#include "synthetic/generator_report.hpp"
#include "synthetic/generator_samples.hpp"
#include "synthetic/generator_shard.hpp"

namespace sparrow {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / fmt::format("sparrow_generator_{}_{}", ::getpid(), next_++)) {
    fs::remove_all(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string name() const { return path_.string(); }

 private:
  static inline int next_ = 0;
  fs::path path_;
};

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Every file of the folder, by name.
std::map<std::string, std::string> content_of(const Folder& folder) {
  std::map<std::string, std::string> content;
  for (const auto& entry : fs::directory_iterator(folder.name()))
    content[entry.path().filename().string()] = bytes_of(entry.path().string());
  return content;
}

GenerateOptions small(const Folder& folder) {
  return {.out = folder.name(), .samples = 20011, .shards = 3, .seed = 7, .scale = 0.01};
}

std::string message_of(const GenerateOptions& options, bool overwrite = false) {
  try {
    generate(options, 0, 1, 1, overwrite);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

RawSamples samples_of(const std::string& like, int64_t count) {
  const SampleModel model(criteo_statistics(like), 1, 3);
  RawSamples out;
  CriteoSample sample;
  for (int64_t k = 0; k < count; ++k) {
    model.sample(k, sample);
    out.labels.push_back(static_cast<uint8_t>(sample.label));
    out.missing_integers.push_back(static_cast<uint16_t>(sample.missing_integers));
    for (size_t i = 0; i < kCriteoDense; ++i) out.integers[i].push_back(sample.integers[i]);
    for (size_t c = 0; c < kCriteoTables; ++c)
      out.categories[c].push_back(criteo_value(static_cast<int>(c), sample.ranks[c]));
  }
  return out;
}

TEST_CASE("ValuesAreABijectionBelow2To31AndMissingIsZero") {
  for (int c = 0; c < kCriteoTables; ++c) {
    REQUIRE(criteo_value(c, 0) == 0);
    for (uint64_t wide = 1; wide < 0x80000000u; wide += wide / 2 + 1) {
      const auto rank = static_cast<uint32_t>(wide);
      const uint32_t value = criteo_value(c, rank);
      REQUIRE(value < 0x80000000u);
      REQUIRE(value != 0);
      REQUIRE(criteo_rank(c, value) == rank);
    }
  }
}

TEST_CASE("ValuesModuloMaxRowsAreSpreadEvenly") {
  // 50,000 ranks on 1,000 ids: 50 each, standard deviation 7.07 if spread as if at random; 6 of them are exceeded by
  // one of 26,000 ids with probability 26,000 * 2e-9. Chi-squared over 1,000 ids has mean 999 and standard
  // deviation 45.
  for (int c = 0; c < kCriteoTables; ++c) {
    std::vector<int> count(1000);
    for (uint32_t rank = 1; rank <= 50000; ++rank) ++count[criteo_value(c, rank) % 1000];
    double chi = 0;
    for (const int n : count) chi += (n - 50) * (n - 50) / 50.0;
    INFO("C" << c + 1);
    CHECK(*std::max_element(count.begin(), count.end()) < 50 + 7 * 7.07);
    CHECK(chi < 999 + 6 * 45);
  }
}

TEST_CASE("RanksAreDrawnWithTheLawsProbabilities") {
  // rank(u) at n evenly spaced u: rank r is hit n p_r times, give or take one at either end of its interval.
  const int n = 1000000;
  for (const CriteoStatistics* set : {&terabyte_statistics(), &kaggle_statistics()}) {
    for (const int c : {0, 1, 5, 11, 19}) {
      const RankSampler law(set->columns[c], 1);
      double sum = law.tail_mass();
      for (const double p : law.probabilities()) sum += p;
      CHECK(sum == Approx(1).margin(1e-9));
      std::vector<int> hits(law.probabilities().size() + 1);
      int64_t before = 1;
      bool rises = true;
      for (int i = 0; i < n; ++i) {
        const int64_t rank = law.rank((i + 0.5) / n);
        rises = rises && before <= rank;
        before = rank;
        if (rank < std::ssize(hits)) ++hits[rank];
      }
      CHECK(rises);
      CHECK(before <= law.ranks());
      for (size_t r = 1; r < hits.size(); ++r)
        if (std::abs(hits[r] - n * law.probabilities()[r - 1]) > 1.001)
          FAIL("C" << c + 1 << " rank " << r << ": " << hits[r] << " of " << n * law.probabilities()[r - 1]);
    }
  }
}

TEST_CASE("TheTailsShareIsTheInverseOfItsRank") {
  const RankSampler law(terabyte_statistics().columns[19], 1);
  REQUIRE(law.tail_mass() > 0.1);
  for (double t = 0.001; t < 1; t += 0.0037) {
    const int64_t rank = law.tail_rank(t);
    // Within its rank, whose share is a few times 1e-9 to 1e-5.
    CHECK(law.tail_share(rank) == Approx(t).margin(2e-5));
  }
}

TEST_CASE("ScaleMultipliesTheCategoriesDownTo1000") {
  for (const double scale : {1.0, 0.1, 0.001}) {
    for (size_t c = 0; c < kCriteoTables; ++c) {
      const RankLaw& law = terabyte_statistics().columns[c];
      const auto scaled = static_cast<int64_t>(std::llround(static_cast<double>(law.n) * scale));
      CHECK(RankSampler(law, scale).ranks() == std::max(scaled, std::min<int64_t>(law.n, 1000)));
    }
  }
}

TEST_CASE("GeneratedTerabyteHasTheMeasuredFigures") {
  // 32 batches: the standard error of distinct / total is below 0.2 % of it. Each figure's tolerance is that of
  // compare().
  const RawSamples samples = samples_of("terabyte", 65536);
  const std::vector<ReportRow> rows = compare(samples, terabyte_statistics());
  CHECK(rows.size() == 40);
  for (const ReportRow& row : rows) {
    INFO(row.name << ": measured " << row.measured << ", generated " << row.found << ", allowed " << row.allowed);
    CHECK(row.holds());
  }
}

TEST_CASE("GeneratedKaggleHasTheMeasuredFigures") {
  const RawSamples samples = samples_of("kaggle", 137139);  // as many as were measured: top shares depend on it
  const std::vector<ReportRow> rows = compare(samples, kaggle_statistics());
  CHECK(rows.size() == 43);
  for (const ReportRow& row : rows) {
    INFO(row.name << ": measured " << row.measured << ", generated " << row.found << ", allowed " << row.allowed);
    CHECK(row.holds());
  }
}

TEST_CASE("GeneratedColumnsThatAreFunctionsHaveNoException") {
  for (const CriteoStatistics* set : {&terabyte_statistics(), &kaggle_statistics()}) {
    for (const double scale : {1.0, 0.001}) {
      const SampleModel model(*set, scale, 11);
      std::vector<std::map<uint32_t, uint32_t>> seen(set->functions.size());
      CriteoSample sample;
      for (int64_t k = 0; k < 30000; ++k) {
        model.sample(k, sample);
        for (size_t f = 0; f < seen.size(); ++f) {
          const uint32_t fine = sample.ranks[column_index(set->functions[f].fine)];
          const uint32_t coarse = sample.ranks[column_index(set->functions[f].coarse)];
          if (seen[f].try_emplace(fine, coarse).first->second != coarse)
            FAIL(set->functions[f].fine << " -> " << set->functions[f].coarse << " at sample " << k);
        }
      }
    }
  }
}

TEST_CASE("TheReportSeesDataThatIsNotCriteos") {
  RawSamples samples = samples_of("terabyte", 20000);
  // Independent columns, the mistake it is there for: C1 of one sample with the rest of another.
  std::rotate(samples.categories[0].begin(), samples.categories[0].begin() + 1, samples.categories[0].end());
  for (uint8_t& label : samples.labels) label = label == 0;
  for (int64_t& x : samples.integers[1]) x *= 2;
  std::set<std::string> failed;
  for (const ReportRow& row : compare(samples, terabyte_statistics()))
    if (!row.holds()) failed.insert(row.name);
  CHECK(failed == std::set<std::string>{"C20 -> C1: contradictions", "C1 -> C22: contradictions", "clicks",
                                        "I2 quantiles, worst distance"});
}

/// Area under the ROC curve that the true probabilities of `samples` samples reach: no model can be expected to do
/// better.
double best_auc(const SampleModel& model, int64_t samples) {
  std::vector<std::pair<double, int>> scored;
  CriteoSample sample;
  for (int64_t i = 0; i < samples; ++i) {
    model.sample(i, sample);
    scored.emplace_back(sample.click_probability, sample.label);
  }
  std::sort(scored.begin(), scored.end());
  double clicks = 0, order = 0;  // the sum, over clicks, of the samples below them
  for (size_t i = 0; i < scored.size(); ++i)
    if (scored[i].second == 1) order += static_cast<double>(i) - clicks++;
  return order / (clicks * (static_cast<double>(samples) - clicks));
}

TEST_CASE("TheClickRateIsRightAndTheSignalIsThere") {
  for (const CriteoStatistics* set : {&terabyte_statistics(), &kaggle_statistics()}) {
    const SampleModel model(*set, 0.01, 5);
    // Gaussian logits of standard deviation s give 0.79 for both (theory: AUC of N(b, s^2)). Standard error: sqrt of
    // about 0.2 / clicks, 0.006 with the 3,200 clicks of 100,000 Terabyte samples.
    CHECK(best_auc(model, 100000) == Approx(0.79).margin(0.02));
  }
}

TEST_CASE("TheSameSeedGivesTheSameBytesForAnyPartsAndThreads") {
  for (const GeneratedFormat format : {GeneratedFormat::tsv, GeneratedFormat::npy}) {
    Folder whole, parts;
    GenerateOptions options = small(whole);
    options.format = format;
    REQUIRE(generate(options));
    options.out = parts.name();
    CHECK_FALSE(generate(options, 2, 4, 3));  // part 3 has no shard at all
    CHECK_FALSE(generate(options, 0, 4));
    CHECK_FALSE(is_generated(options));
    CHECK_FALSE(generate(options, 3, 4));
    CHECK(generate(options, 1, 4, 2));
    CHECK(is_generated(options));
    CHECK(content_of(whole) == content_of(parts));
  }
}

TEST_CASE("ShardsJoinedAreTheSamplesWhateverTheirNumber") {
  Folder one, many;
  GenerateOptions options = small(one);
  options.shards = 1;
  generate(options);
  const std::string text = bytes_of(one / "day_0.tsv");
  options.out = many.name();
  options.shards = 7;
  generate(options);
  std::string joined;
  for (int s = 0; s < 7; ++s) joined += bytes_of(many / fmt::format("day_{}.tsv", s));
  CHECK(joined == text);
  CHECK(std::count(text.begin(), text.end(), '\n') == 20011);
}

TEST_CASE("SeedsDiffer") {
  const SampleModel a(terabyte_statistics(), 0.01, 1), b(terabyte_statistics(), 0.01, 2);
  CriteoSample x, y;
  int same = 0;
  for (int64_t k = 0; k < 1000; ++k) {
    a.sample(k, x);
    b.sample(k, y);
    same += x.ranks == y.ranks;
  }
  CHECK(same < 10);
}

TEST_CASE("GzipHoldsTheSameTextAndNpyTheSameValues") {
  Folder text, gzip, npy;
  GenerateOptions options = small(text);
  generate(options);
  options.out = gzip.name();
  options.gzip = true;
  generate(options);
  options.out = npy.name();
  options.gzip = false;
  options.format = GeneratedFormat::npy;
  generate(options);

  const RawSamples a = read_samples(generated_files(small(text)), 100000);
  REQUIRE(a.size() == 20011);
  const RawSamples b = read_samples({gzip / "day_0.tsv.gz", gzip / "day_1.tsv.gz", gzip / "day_2.tsv.gz"}, 100000);
  CHECK(a.categories == b.categories);
  CHECK(a.integers == b.integers);
  CHECK(a.labels == b.labels);
  const RawSamples c = read_samples(generated_files(options), 100000);
  CHECK(a.categories == c.categories);
  CHECK(a.labels == c.labels);

  const NpyFile dense(npy / "day_0_dense.npy"), labels(npy / "day_0_labels.npy");
  REQUIRE(dense.shape() == std::vector<int64_t>{6670, 13});  // floor(20011 / 3)
  CHECK(labels.shape() == std::vector<int64_t>{6670, 1});
  const auto values = dense.values<float>();
  for (size_t k = 0; k < 6670; ++k)
    for (size_t i = 0; i < kCriteoDense; ++i)
      if (values[k * kCriteoDense + i] != criteo_dense_value(a.integers[i][k])) FAIL("sample " << k << " I" << i + 1);
}

TEST_CASE("ABrokenRunIsNotTakenForAWholeOneAndGoesOn") {
  Folder whole, broken;
  generate(small(whole));
  GenerateOptions options = small(broken);
  generate(options, 0, 3);
  const auto first = fs::last_write_time(broken / "day_0.tsv");
  std::ofstream(broken / "day_1.tsv.part") << "half a line";
  CHECK_FALSE(is_generated(options));
  std::ofstream(broken / ".day_1.arguments")
      << bytes_of(broken / ".day_0.arguments");  // as a run leaves it that is killed now
  CHECK_FALSE(is_generated(options));
  CHECK(generate(options));
  CHECK(is_generated(options));
  CHECK(fs::last_write_time(broken / "day_0.tsv") == first);
  CHECK(content_of(broken) == content_of(whole));
  fs::resize_file(broken / "day_2.tsv", 100);
  CHECK_FALSE(is_generated(options));
}

TEST_CASE("OtherDataIsNotOverwrittenUnasked") {
  Folder folder;
  GenerateOptions options = small(folder);
  generate(options);
  options.seed = 8;
  CHECK_FALSE(is_generated(options));
  CHECK(message_of(options).find("other arguments") != std::string::npos);
  options.shards = 2;
  CHECK(message_of(options, true).empty());
  CHECK(is_generated(options));
  CHECK_FALSE(fs::exists(folder / "day_2.tsv"));  // day_* must not find a shard of before

  Folder real;
  fs::create_directories(real.name());
  std::ofstream(real / "day_0.tsv") << "rows of somebody else\n";
  options.out = real.name();
  CHECK(message_of(options, true).find("not written by sparrow generate") != std::string::npos);
  CHECK(bytes_of(real / "day_0.tsv") == "rows of somebody else\n");
}

TEST_CASE("ImpossibleOptionsAreRefusedByName") {
  Folder folder;
  const auto refused = [&](auto&& change) {
    GenerateOptions options = small(folder);
    change(options);
    return message_of(options);
  };
  CHECK(refused([](GenerateOptions& o) { o.samples = 0; }).find("samples") != std::string::npos);
  CHECK(refused([](GenerateOptions& o) { o.samples = -5; }).find("-5") != std::string::npos);
  CHECK(refused([](GenerateOptions& o) { o.shards = 0; }).find("shards") != std::string::npos);
  CHECK(refused([](GenerateOptions& o) { o.shards = 30000; }).find("shards") != std::string::npos);
  CHECK(refused([](GenerateOptions& o) { o.scale = 0; }).find("scale") != std::string::npos);
  CHECK(refused([](GenerateOptions& o) { o.scale = std::nan(""); }).find("scale") != std::string::npos);
  CHECK_THROWS_WITH(parse_word<GeneratedFormat>("format", "csv"), Catch::Contains("csv"));
  CHECK_THROWS_WITH(parse_word<CriteoSet>("like", "avazu"), Catch::Contains("avazu"));
  CHECK(refused([](GenerateOptions& o) { o.out = ""; }).find("out") != std::string::npos);
  CHECK(refused([](GenerateOptions& o) { o.out = "/proc/nothing/here"; }).find("/proc/nothing") != std::string::npos);
  CHECK(refused([](GenerateOptions& o) {
          o.format = GeneratedFormat::npy;
          o.gzip = true;
        }).find("gzip") != std::string::npos);
  CHECK_FALSE(fs::exists(folder.name()));  // nothing was written before the check
}

TEST_CASE("SamplesAreReadOnlyFromWholeFiles") {
  Folder folder;
  fs::create_directories(folder.name());
  const SampleModel model(terabyte_statistics(), 0.01, 1);
  const std::string packed = format_block(model, 0, 100, ShardFormat::tsv_gzip).text;
  std::ofstream(folder / "cut.tsv.gz", std::ios::binary) << packed.substr(0, packed.size() - 10);
  CHECK_THROWS_WITH(read_samples({folder / "cut.tsv.gz"}, 1000), Catch::Contains("cut.tsv.gz"));
  std::string corrupt = packed;
  corrupt[packed.size() / 2] = static_cast<char>(corrupt[packed.size() / 2] ^ 0x55);
  std::ofstream(folder / "corrupt.tsv.gz", std::ios::binary) << corrupt;
  CHECK_THROWS_WITH(read_samples({folder / "corrupt.tsv.gz"}, 1000), Catch::Contains("corrupt.tsv.gz"));
  std::ofstream(folder / "text.tsv") << format_block(model, 0, 3, ShardFormat::tsv).text << "1\t2\t3\n";
  CHECK_THROWS_WITH(read_samples({folder / "text.tsv"}, 1000), Catch::Contains("text.tsv:4:"));
  CHECK(read_samples({folder / "text.tsv"}, 3).size() == 3);
  CHECK_THROWS_AS(read_samples({folder / "absent.tsv"}, 3), Error);
}

TEST_CASE("RealSamplesHoldTheFiguresTheyWereMeasuredOn") {
  const char* named = std::getenv("SPARROW_SHARED");
  const std::string shared = named != nullptr ? named : SPARROW_SHARED_DEFAULT;
  for (const std::string like : {"kaggle", "terabyte"}) {
    const std::string file = shared + (like == "kaggle" ? "/data/kaggle_sample.tsv.gz" : "/data/terabyte_head.tsv.gz");
    if (!fs::exists(file)) {
      WARN("skipped: no real samples at " << file << " (set SPARROW_SHARED)");
      continue;
    }
    const RawSamples samples = read_samples({file}, 1000000);
    for (const ReportRow& row : compare(samples, criteo_statistics(like))) {
      INFO(like << " " << row.name << ": measured " << row.measured << ", found " << row.found);
      CHECK(row.holds());
    }
  }
}

}  // namespace
}  // namespace sparrow
