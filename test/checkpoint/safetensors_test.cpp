// Safetensors: what is written is read back; files that lie are refused.
#include "checkpoint/safetensors.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <random>

#include "base/error.hpp"
#include "test/data/support.hpp"

using namespace sparrow;
using sparrow::test::read_file;
using sparrow::test::TempFolder;
using sparrow::test::write_file;

namespace {

/// The bytes of a file with this header and so many bytes of data.
std::string file_with(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, '\1');
}

std::string tensor(const std::string& fields) {
  return "{\"w\": {" + fields + "}}";
}

void check_refused(const std::string& bytes, const std::string& reason) {
  const TempFolder folder;
  write_file(folder / "x", bytes);
  INFO(bytes.substr(0, 200));
  CHECK_THROWS_WITH(SafetensorsFile(folder / "x"), Catch::StartsWith(folder / "x") && Catch::Contains(reason));
}

}  // namespace

TEST_CASE("TensorsAreReadBackAsWritten") {
  const TempFolder folder;
  std::vector<float> values(2 * 3 + 4 + 0 + 1);
  std::iota(values.begin(), values.end(), 0.5f);
  SafetensorsWriter writer(folder / "x", {{"b.weight", {2, 3}}, {"a.bias", {4}}, {"empty", {0, 7}}, {"scalar", {}}});
  writer.append(std::span(values).first(5));  // pieces need not be tensors
  writer.append(std::span(values).subspan(5));
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
  writer.finish();
  CHECK(folder.names() == std::vector<std::string>{"x"});

  const SafetensorsFile file(folder / "x");
  CHECK(file.has("a.bias"));
  CHECK_FALSE(file.has("c"));
  const auto read = [&](const std::string& name, const std::vector<int64_t>& shape) {
    const std::span<const float> found = file.tensor(name, shape);
    return std::vector<float>(found.begin(), found.end());
  };
  CHECK(read("b.weight", {2, 3}) == std::vector<float>(values.begin(), values.begin() + 6));
  CHECK(read("a.bias", {4}) == std::vector<float>(values.begin() + 6, values.begin() + 10));
  CHECK(read("empty", {0, 7}).empty());
  CHECK(read("scalar", {}) == std::vector<float>{values.back()});
  CHECK_THROWS_WITH(file.tensor("b.weight", {3, 2}),
                    Catch::Contains("b.weight") && Catch::Contains("(2, 3)") && Catch::Contains("(3, 2)"));
  CHECK_THROWS_WITH(file.tensor("b.weight", {6}), Catch::Contains("shape"));
  CHECK_THROWS_WITH(file.tensor("c", {1}), Catch::Contains("no tensor c"));
}

TEST_CASE("TheBytesFollowTheFormat") {
  const TempFolder folder;
  const float value = 1.5f;
  SafetensorsWriter writer(folder / "x", {{"w", {1, 1}}});
  writer.append({&value, 1});
  writer.finish();
  const std::string bytes = read_file(folder / "x");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);  // so that the data are aligned
  REQUIRE(bytes.size() == 8 + length + 4);
  CHECK(bytes.substr(8, 1) == "{");
  CHECK(bytes.substr(8 + length) == std::string("\x00\x00\xc0\x3f", 4));
}

TEST_CASE("AnUnfinishedFileIsAbsent") {
  const TempFolder folder;
  {
    SafetensorsWriter writer(folder / "x", {{"w", {2}}});
    const float value = 1;
    writer.append({&value, 1});
    CHECK_THROWS_AS(writer.finish(), Error);  // one value is missing
    const std::vector<float> many(2);
    CHECK_THROWS_AS(writer.append(many), Error);
  }
  CHECK(folder.names().empty());
  CHECK_THROWS_WITH(SafetensorsWriter(folder / "absent/x", {{"w", {2}}}), Catch::Contains("absent/x"));
}

TEST_CASE("LengthsBeyondTheFileAreRefused") {
  check_refused("", "");
  check_refused("1234567", "7 bytes");
  check_refused(std::string(8, '\xff'), "beyond its end");
  std::string bytes = file_with("{}", 0);
  bytes[0] = 3;
  check_refused(bytes, "beyond its end");
  bytes[7] = '\x80';
  check_refused(bytes, "beyond its end");
}

TEST_CASE("HeadersThatAreNoTensorsAreRefused") {
  for (const char* header : {"", "null", "[]", "7", "{", "{\"w\": }", "\xff\xfe", "{\"w\": {}} trailing"})
    check_refused(file_with(header, 16), "JSON");
  for (const char* header :
       {R"({"w": 3})", R"({"w": []})", R"({"w": {}})", R"({"w": {"dtype": "F32"}})",
        R"({"w": {"dtype": "F32", "shape": [4]}})", R"({"w": {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]}})",
        R"({"w": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}})",
        R"({"w": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}})",
        R"({"w": {"dtype": 32, "shape": [4], "data_offsets": [0, 16]}})"})
    check_refused(file_with(header, 16), "tensor w");
}

TEST_CASE("ShapesThatAreNoneAreRefused") {
  for (const char* shape : {"[-4]", "[4.0]", "[\"4\"]", "[[4]]", "[null]", "[9223372036854775807, 2]",
                            "[18446744073709551615]", "[4294967296, 4294967296]", "[3037000500, 3037000500, 0, 2]"})
    check_refused(file_with(tensor(std::string(R"("dtype": "F32", "data_offsets": [0, 16], "shape": )") + shape), 16),
                  "tensor w");
}

TEST_CASE("OffsetsThatDoNotFitAreRefused") {
  for (const char* offsets : {"[0, 12]", "[0, 20]", "[4, 20]", "[16, 0]", "[-16, 0]", "[0]", "[0, 8, 16]", "{}",
                              "\"0\"", "[0.0, 16.0]", "[18446744073709551600, 0]", "[18446744073709551615, 15]"})
    check_refused(file_with(tensor(std::string(R"("dtype": "F32", "shape": [4], "data_offsets": )") + offsets), 16),
                  "tensor w");
}

TEST_CASE("TensorsThatOverlapOrLeaveGapsAreRefused") {
  const auto two = [](const char* first, const char* second) {
    return std::string(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": )") + first +
           R"(}, "b": {"dtype": "F32", "shape": [2], "data_offsets": )" + second + "}}";
  };
  const auto padded = [](std::string header) { return header + std::string((8 - header.size() % 8) % 8, ' '); };
  const TempFolder folder;
  write_file(folder / "x", file_with(padded(two("[0, 8]", "[8, 16]")), 16));
  CHECK(SafetensorsFile(folder / "x").has("b"));
  check_refused(file_with(padded(two("[0, 8]", "[0, 8]")), 16), "overlap");
  check_refused(file_with(padded(two("[0, 8]", "[4, 12]")), 16), "overlap");
  check_refused(file_with(padded(two("[0, 8]", "[12, 20]")), 20), "gap");
  check_refused(file_with(padded(two("[4, 12]", "[12, 20]")), 20), "gap");
  check_refused(file_with(padded(two("[0, 8]", "[8, 16]")), 20), "beyond");
}

TEST_CASE("EveryTruncationAndRandomBytesAreRefused") {
  const TempFolder folder;
  const std::vector<float> values(6, 2.0f);
  {
    SafetensorsWriter writer(folder / "x", {{"w", {2, 3}}});
    writer.append(values);
    writer.finish();
  }
  const std::string whole = read_file(folder / "x");
  for (size_t length = 0; length < whole.size(); ++length) check_refused(whole.substr(0, length), "");
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {  // a damaged header is refused, or means something that fits the file
    std::string bytes = whole;
    for (int change = 0; change < 3; ++change) bytes[random() % (bytes.size() - 24)] = static_cast<char>(random());
    write_file(folder / "y", bytes);
    try {
      const SafetensorsFile file(folder / "y");
      if (file.has("w")) CHECK(file.tensor("w", {2, 3}).size() == 6);
    } catch (const Error&) {
    }
  }
  CHECK_THROWS_AS(SafetensorsFile(folder / "absent"), Error);
  CHECK_THROWS_AS(SafetensorsFile(folder.path()), Error);
}
