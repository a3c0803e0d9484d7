#include "data/shard_index.hpp"

#include <catch2/catch.hpp>

#include "base/random.hpp"
#include "support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

TEST_CASE("A glob's files come in natural order, other paths as they were named", "[files]") {
  const TempFolder folder;
  for (const char* name : {"day_0", "day_1", "day_2", "day_10", "day_9", "day_11", "x.tsv"})
    write_file(folder / name, "");
  const auto names = [&](const std::vector<std::string>& patterns) {
    std::vector<std::string> result;
    for (const std::string& file : expand_files(patterns)) result.push_back(file.substr(folder.path().size() + 1));
    return result;
  };
  using Names = std::vector<std::string>;
  CHECK(names({folder / "day_*"}) == Names{"day_0", "day_1", "day_2", "day_9", "day_10", "day_11"});
  CHECK(names({folder / "x.tsv", folder / "day_1?", folder / "day_[02]"}) ==
        Names{"x.tsv", "day_10", "day_11", "day_0", "day_2"});
  CHECK(names({folder / "not_there"}) == Names{"not_there"});  // whoever opens it says so
  CHECK_THAT(error_of([&] {
               expand_files({folder / "x.tsv", folder / "*.gz"});
             }),
             Contains("no file matches") && Contains("*.gz"));
  CHECK_THROWS_AS(expand_files({}), Error);
}

TEST_CASE("Shards are known by their names", "[files]") {
  for (const char* name : {"a.tsv", "a.tsv.gz", "dir.x/day_0", "day_23.gz", "train.txt", "train.txt.gz"})
    CHECK(shard_kind(name) == ShardKind::tsv);
  CHECK(shard_kind("x/day_0_dense.npy") == ShardKind::npy);
  for (const char* name :
       {"", "day_", "day_x", "day_1x", "a.csv", "a.gz", "day_0_sparse.npy", "a.tsv/", "a_dense.npy.gz"})
    CHECK_THROWS_AS(shard_kind(name), Error);
}

TEST_CASE("An index survives being sent, and damage to it is noticed or harmless", "[index]") {
  const TempFolder folder;
  write_file(folder / "a.tsv", "bad\n" + text_of(make_samples(1, 3000)));
  const ShardIndex index = scan_shard(folder / "a.tsv", "", 5);
  CHECK(index.samples == 3000);
  CHECK(index.offsets.size() == 3);
  CHECK(index.bad_lines == std::vector<BadLine>{{1, 0}});
  const std::string bytes = serialize({index, index});
  CHECK(deserialize_shard_indexes(bytes) == std::vector<ShardIndex>{index, index});
  for (size_t length = 0; length < bytes.size(); ++length)
    CHECK_THROWS_AS(deserialize_shard_indexes(bytes.substr(0, length)), Error);
  CHECK_THROWS_AS(deserialize_shard_indexes(bytes + "x"), Error);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(random_words(1, 0, i, 0).v[0]);
    try {
      deserialize_shard_indexes(damaged);
    } catch (const Error&) {
      SUCCEED("refused");
    }
  }
}

TEST_CASE("The index of a billion samples would take 8 MB", "[index]") {
  CHECK(int64_t{1000000000} / ShardIndex::kStride * 8 < 8 << 20);
}
