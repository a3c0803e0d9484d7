#include "data/gzip.hpp"

#include <catch2/catch.hpp>

#include "base/random.hpp"
#include "support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

namespace {

struct Fixture {
  TempFolder folder;
  std::string path = folder / "day_0.gz";
  std::string scratch = folder / "scratch";

  void decompress(const std::string& bytes) {
    write_file(path, bytes);
    decompress_gzip(path, scratch);
  }
  std::string refusal(const std::string& bytes) {
    const std::string message = error_of([&] { decompress(bytes); });
    CHECK_THAT(message, Contains(path));
    CHECK(folder.names() == std::vector<std::string>{"day_0.gz"});  // neither the result nor a part of it
    return message;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "A gzip is decompressed to the bytes it was made from", "[gzip]") {
  const std::string large = text_of(make_samples(1, 20000));  // more than one buffer
  for (const std::string& text : {std::string(), std::string("a"), large}) {
    decompress(gzip_of(text));
    CHECK(read_file(scratch) == text);
  }
  CHECK(folder.names() == std::vector<std::string>{"day_0.gz", "scratch"});
}

TEST_CASE_METHOD(Fixture, "Concatenated members are one text", "[gzip]") {
  std::string text, bytes;
  for (int64_t i = 0; i < 50; ++i) {
    const std::string piece = text_of(make_samples(static_cast<uint64_t>(i), i * i % 37));
    text += piece;
    bytes += gzip_of(piece);
  }
  decompress(bytes);
  CHECK(read_file(scratch) == text);
}

TEST_CASE_METHOD(Fixture, "A gzip cut at any byte is refused", "[gzip]") {
  const std::string bytes = gzip_of("some text") + gzip_of("some more text, some more text");
  const size_t first_member = gzip_of("some text").size();
  for (size_t length = 0; length < bytes.size(); ++length) {
    if (length == first_member) continue;  // a whole gzip
    CHECK_THAT(refusal(bytes.substr(0, length)), Contains("cut short"));
  }
  const std::string large = gzip_of(text_of(make_samples(1, 20000)));
  CHECK_THAT(refusal(large.substr(0, large.size() / 2)), Contains("cut short"));
}

TEST_CASE_METHOD(Fixture, "A corrupt gzip is refused", "[gzip]") {
  const std::string text = text_of(make_samples(1, 300));
  const std::string whole = gzip_of(text);
  CHECK_THAT(refusal("0\t1\t2\t3\t4\t5\t6\n"), Contains("no gzip header"));
  CHECK_THAT(refusal(whole + "garbage behind it"), Contains("no gzip header"));
  std::string checksum = whole;
  checksum[whole.size() - 8] ^= 1;
  CHECK_THAT(refusal(checksum), Contains("checksum"));
  std::string length = whole;
  length[whole.size() - 1] ^= 1;
  CHECK_THAT(refusal(length), Contains("checksum"));
  for (uint64_t i = 0; i < 300; ++i) {
    std::string bytes = whole;
    const Philox4 words = random_words(9, 0, i, 0);
    const size_t at =
        10 + words.v[0] % (bytes.size() - 10);  // behind the header, whose time and system may be anything
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << words.v[1] % 8));
    CHECK(!refusal(bytes).empty());
  }
}

TEST_CASE_METHOD(Fixture, "Files that cannot be read or written are named", "[gzip]") {
  CHECK_THAT(error_of([&] { decompress_gzip(folder / "none.gz", scratch); }), Contains("none.gz: No such file"));
  write_file(path, gzip_of("text"));
  CHECK_THAT(error_of([&] { decompress_gzip(path, folder / "no_such_folder/scratch"); }),
             Contains("no_such_folder/scratch"));
  CHECK_THAT(error_of([&] { decompress_gzip(path, "/dev/full/x"); }), Contains("/dev/full/x"));
}

TEST_CASE("Scratch names keep the file's name and tell folders apart", "[gzip]") {
  const std::string a = scratch_name("/x/day_0.gz", "/scratch"), b = scratch_name("/y/day_0.gz", "/scratch");
  CHECK(a != b);
  CHECK(scratch_name("/x/../x/day_0.gz", "/scratch") == a);
  CHECK_THAT(a, Catch::Matchers::StartsWith("/scratch/day_0."));
}
