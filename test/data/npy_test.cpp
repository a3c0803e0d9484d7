#include "data/npy.hpp"
#include "data/npy_stream.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

#include "base/random.hpp"
#include "support.hpp"

using namespace sparrow;
using namespace sparrow::test;
using Catch::Matchers::Contains;

namespace {

/// A file of version `major` with this dictionary and data.
std::string npy_bytes(int major, const std::string& dictionary, const std::string& data) {
  std::string text = dictionary;
  const size_t head = major == 1 ? 10 : 12;
  while ((head + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += {static_cast<char>(major), '\0'};
  const uint32_t length = static_cast<uint32_t>(text.size());
  bytes.append(reinterpret_cast<const char*>(&length), major == 1 ? 2 : 4);
  return bytes + text + data;
}

const std::string kThreeInts = "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }";

}  // namespace

TEMPLATE_TEST_CASE("An array written is read back with its shape", "[npy]", float, int32_t, int64_t) {
  const TempFolder folder;
  const std::vector<TestType> values = {1, 2, 3, static_cast<TestType>(-4), 5, 6};
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{6}, {2, 3}, {6, 1}}) {
    write_npy<TestType>(folder / "a.npy", values, shape);
    const NpyFile file(folder / "a.npy");
    CHECK(file.type() == npy_type<TestType>());
    CHECK(file.shape() == shape);
    const std::span<const TestType> read = file.values<TestType>();
    CHECK(std::vector<TestType>(read.begin(), read.end()) == values);
    CHECK(file.data_offset() % 64 == 0);
  }
  write_npy<TestType>(folder / "empty.npy", {}, {0});
  CHECK(NpyFile(folder / "empty.npy").values<TestType>().empty());
}

TEST_CASE("The bytes written are those that NumPy writes", "[npy]") {
  // As numpy.save wrote numpy.array([[1, 2, 3]], dtype=numpy.int32).
  const TempFolder folder;
  const std::vector<int32_t> values = {1, 2, 3};
  write_npy<int32_t>(folder / "a.npy", values, {1, 3});
  std::string expected("\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fortran_order': False, 'shape': (1, 3), }", 69);
  expected.resize(127, ' ');
  expected += '\n';
  expected.append(reinterpret_cast<const char*>(values.data()), 12);
  CHECK(read_file(folder / "a.npy") == expected);
}

TEST_CASE("Both format versions and any order of the keys are read", "[npy]") {
  const TempFolder folder;
  const std::string data("\1\0\0\0\2\0\0\0\3\0\0\0", 12);
  for (const int version : {1, 2}) {
    write_file(folder / "a.npy", npy_bytes(version, kThreeInts, data));
    CHECK(NpyFile(folder / "a.npy").values<int32_t>()[2] == 3);
    write_file(folder / "a.npy", npy_bytes(version, "{\"shape\":(3 , 1),'fortran_order':False,'descr':'<i4'}", data));
    CHECK(NpyFile(folder / "a.npy").columns() == 1);
  }
}

TEST_CASE("A header that lies or is not understood is an Error naming the file", "[npy]") {
  const TempFolder folder;
  const std::string data(12, '\0');
  const auto refusal = [&](const std::string& bytes) {
    write_file(folder / "a.npy", bytes);
    const std::string message = error_of([&] { NpyFile(folder / "a.npy"); });
    CHECK_THAT(message, Contains(folder / "a.npy"));
    return message;
  };
  const auto dictionary = [&](const std::string& descr, const std::string& order, const std::string& shape) {
    return npy_bytes(1, "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }", data);
  };
  CHECK_THAT(refusal(""), Contains("not an npy file"));
  CHECK_THAT(refusal("PK\3\4 something else"), Contains("not an npy file"));
  CHECK_THAT(refusal(npy_bytes(1, kThreeInts, data.substr(1))), Contains("11 bytes of data"));
  CHECK_THAT(refusal(npy_bytes(1, kThreeInts, data + "x")), Contains("13 bytes of data"));
  CHECK_THAT(refusal(npy_bytes(1, kThreeInts, data).substr(0, 40)), Contains("cut short"));
  CHECK_THAT(refusal(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13)), Contains("cut short"));
  CHECK_THAT(refusal(std::string("\x93NUMPY\x03\x00\x01\x00{", 11)), Contains("version 3"));
  CHECK_THAT(refusal(dictionary("<i4", "True", "(3, 1)")), Contains("Fortran"));
  CHECK_THAT(refusal(dictionary(">i4", "False", "(3,)")), Contains("'>i4'"));
  CHECK_THAT(refusal(dictionary("|O", "False", "(3,)")), Contains("'|O'"));
  CHECK_THAT(refusal(dictionary("<i4", "False", "(-3,)")), Contains("negative"));
  CHECK_THAT(refusal(dictionary("<i4", "False", "(4294967296, 4294967296)")), Contains("too large"));
  CHECK_THAT(refusal(dictionary("<i4", "False", "(2305843009213693952,)")), Contains("too large"));
  CHECK_THAT(refusal(dictionary("<i4", "False", "(99999999999999999999,)")), Contains("number expected"));
  CHECK_THAT(refusal(dictionary("<i4", "False", "()")), Contains("0 dimensions"));
  CHECK_THAT(refusal(dictionary("<i4", "False", "(1, 3, 1)")), Contains("3 dimensions"));
  CHECK_THAT(refusal(dictionary("<i4", "Maybe", "(3,)")), Contains("True or False"));
  CHECK_THAT(refusal(npy_bytes(1, "{'descr': '<i4', 'shape': (3,), }", data)), Contains("missing"));
  CHECK_THAT(refusal(npy_bytes(1, "{'descr': '<i4', 'descr': '<i4'}", data)), Contains("repeated"));
  CHECK_THAT(refusal(npy_bytes(1, "{'descr': '<i4", data)), Contains("unfinished"));
  CHECK_THAT(refusal(npy_bytes(1, kThreeInts + "x", data)), Contains("after the dictionary"));
}

TEST_CASE("Values of another type than asked for are an Error", "[npy]") {
  const TempFolder folder;
  write_npy<float>(folder / "a.npy", std::vector<float>{1}, {1});
  CHECK_THAT(error_of([&] { NpyFile(folder / "a.npy").values<int32_t>(); }), Contains("<f4, <i4 expected"));
}

TEST_CASE("A missing file and a folder are Errors with the path", "[npy]") {
  const TempFolder folder;
  CHECK_THAT(error_of([&] { NpyFile(folder / "none.npy"); }), Contains("none.npy: No such file"));
  CHECK_THAT(error_of([&] { NpyFile(folder.path()); }), Contains("not a regular file"));
}

TEST_CASE("A stream gives the values of a file in order, and refuses one that ends early", "[npy]") {
  const TempFolder folder;
  std::vector<int64_t> values(150'001);  // several pieces, the last one short
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i * i);
  write_npy<int64_t>(folder / "a.npy", values, {150'001});
  NpyStream stream(folder / "a.npy");
  CHECK(stream.rows() == 150'001);
  std::vector<int64_t> read;
  for (auto piece = stream.next(); !piece.empty(); piece = stream.next())
    read.insert(read.end(), piece.begin(), piece.end());
  CHECK(read == values);
  CHECK(stream.next().empty());
  NpyStream shortened(folder / "a.npy");
  std::filesystem::resize_file(folder / "a.npy", 600'000);
  shortened.next();
  CHECK_THAT(error_of([&] { shortened.next(); }), Contains("a.npy: ends"));
  write_npy<float>(folder / "b.npy", std::vector<float>{1}, {1});
  CHECK_THAT(error_of([&] { NpyStream(folder / "b.npy"); }), Contains("<f4, <i8 expected"));
}

TEST_CASE("An unfinished npy file is not left behind", "[npy]") {
  const TempFolder folder;
  const std::vector<float> values(4);
  {
    NpyWriter writer(folder / "a.npy", NpyType::float32, {2, 3});
    writer.append<float>(values);
    CHECK_THROWS_AS(writer.finish(), Error);               // two values are missing
    CHECK_THROWS_AS(writer.append<float>(values), Error);  // two too many
    CHECK_THROWS_AS(writer.append<int32_t>({}), Error);
  }
  CHECK(folder.names().empty());
  CHECK_THROWS_AS(NpyWriter(folder / "none/a.npy", NpyType::float32, {2}), Error);
}

TEST_CASE("Randomly damaged npy files are read or refused, never more", "[npy]") {
  const TempFolder folder;
  const std::string whole = npy_bytes(1, kThreeInts, std::string(12, '\1'));
  int refused = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    std::string bytes = whole;
    const Philox4 words = random_words(7, 0, i, 0);
    bytes[words.v[0] % 80] = static_cast<char>(words.v[1]);
    if (words.v[2] % 4 == 0) bytes.resize(words.v[3] % bytes.size());
    write_file(folder / "a.npy", bytes);
    try {
      const NpyFile file(folder / "a.npy");
      if (file.type() == NpyType::int32) CHECK(file.values<int32_t>().size() <= 3);
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 500);
}
