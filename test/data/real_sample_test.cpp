// Real rows, where ../shared has them (SPARROW_SHARED names another folder). The expected numbers were counted by awk:
//   zcat FILE | awk -F'\t' '{n++; s += $1; m += $36 == ""} END {print n, s, m}'
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>

#include "data/dataset.hpp"
#include "support.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

/// The path of a file of ../shared/data; empty, with the reason printed, where it is absent.
std::string shared_file(const std::string& name) {
  const char* folder = std::getenv("SPARROW_SHARED");
  const std::string path = fmt::format("{}/data/{}", folder != nullptr ? folder : SPARROW_SHARED_DEFAULT, name);
  if (std::filesystem::exists(path)) return path;
  std::printf("skipped: %s is not there\n", path.c_str());
  return "";
}

struct Summary {
  int64_t samples = 0, clicks = 0, missing_c22 = 0;
};

Summary summary_of(const std::string& path) {
  const TempFolder folder;
  const Dataset data = open_dataset({path}, {.scratch = folder / "scratch"});
  SampleBlock block(1000);
  Summary summary{data.samples()};
  for (int64_t first = 0; first < data.samples(); first += 1000) {
    const int64_t n = std::min<int64_t>(1000, data.samples() - first);
    data.read(first, n, block.target());
    for (int64_t i = 0; i < n; ++i) {
      summary.clicks += block.labels()[i] == 1.0f;
      summary.missing_c22 += block.category(21, i) == 0;
    }
  }
  return summary;
}

}  // namespace

TEST_CASE("The Kaggle sample is read with its number of rows, clicks and missing values", "[real]") {
  const std::string path = shared_file("kaggle_sample.tsv.gz");
  if (path.empty()) return;
  const Summary summary = summary_of(path);
  CHECK(summary.samples == 137139);
  CHECK(summary.clicks == 35213);
  CHECK(summary.missing_c22 == 104400);
}

TEST_CASE("The Terabyte sample is read with its number of rows and clicks", "[real]") {
  const std::string path = shared_file("terabyte_head.tsv.gz");
  if (path.empty()) return;
  const Summary summary = summary_of(path);
  CHECK(summary.samples == 5000);
  CHECK(summary.clicks == 127);
}
