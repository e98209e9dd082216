#include "core/engine/safetensors_reader.h"

#include <gmock/gmock.h>

#include "core/engine/checkpoint/bigram_checkpoints_for_test.h"
#include "core/engine/safetensors.h"
#include "core/error.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using testing::TempFolder;
using testing::write_file;

std::string error_of(const std::string& json, std::int64_t bytes) {
  try {
    parse_safetensors_header(json, bytes, "w.safetensors");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string error_of_opening(const std::string& path) {
  try {
    SafetensorsReader file(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& at) {
  return "\"" + name + R"(": {"dtype": ")" + dtype + R"(", "shape": )" + shape + R"(, "data_offsets": )" + at + "}";
}

TEST(SafetensorsReader, ReadsWhatTheWriterWrote) {
  const TempFolder folder;
  const std::vector<float> a{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint16_t> b{0x3f80, 0xc000};  // 1, -2 in bf16
  SafetensorsWriter writer(folder.file("w.safetensors"), {{"a", DType::kF32, {2, 3}}, {"b", DType::kBF16, {2}}},
                           {{"format", "pt"}});
  writer.append(std::span<const float>(a));
  writer.append(std::span<const std::uint16_t>(b));
  writer.finish();
  const SafetensorsReader file(folder.file("w.safetensors"));
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<std::int64_t>{2, 3}));
  std::vector<float> values(3), halves(2);
  file.read(file.tensors()[0], 2, values);
  EXPECT_EQ(values, (std::vector<float>{3, 4, 5}));
  file.read(file.tensors()[1], 0, halves);
  EXPECT_EQ(halves, (std::vector<float>{1, -2}));
}

TEST(SafetensorsReader, HostileHeadersAreRefused) {
  const std::string a = tensor("a", "F32", "[2]", "[0, 8]");
  EXPECT_EQ(error_of("{" + a + "}", 8), "no error");
  EXPECT_EQ(error_of("{\"__metadata__\": {\"format\": \"pt\"}, " + a + "}", 8), "no error");
  EXPECT_EQ(error_of("{}", 0), "no error");
  EXPECT_THAT(error_of("{" + a + "}", 12), HasSubstr("4 bytes after its last tensor"));
  EXPECT_THAT(error_of("{" + a + "}", 4), HasSubstr("beyond the 4 bytes"));
  EXPECT_THAT(error_of("{" + tensor("a", "F32", "[2]", "[8, 0]") + "}", 8), HasSubstr("not in order"));
  EXPECT_THAT(error_of("{" + tensor("a", "F32", "[3]", "[0, 8]") + "}", 8), HasSubstr("take 12"));
  EXPECT_THAT(error_of("{" + tensor("a", "F32", "[-1]", "[0, 8]") + "}", 8), HasSubstr("whole number"));
  EXPECT_THAT(error_of("{" + tensor("a", "F32", "[1e30]", "[0, 8]") + "}", 8), HasSubstr("whole number"));
  EXPECT_THAT(error_of("{" + tensor("a", "F32", "[4611686018427387904, 4]", "[0, 8]") + "}", 8), HasSubstr("2^63"));
  EXPECT_THAT(error_of("{" + tensor("a", "F99", "[2]", "[0, 8]") + "}", 8), HasSubstr("F99"));
  EXPECT_THAT(error_of("{" + a + ", " + tensor("b", "F32", "[2]", "[4, 12]") + "}", 12),
              HasSubstr("tensor b overlaps"));
  EXPECT_THAT(error_of("{" + a + ", " + tensor("b", "F32", "[1]", "[12, 16]") + "}", 16),
              HasSubstr("4 bytes before it"));
  EXPECT_THAT(error_of("{" + a + ", " + a + "}", 8), HasSubstr("a"));
  EXPECT_THAT(error_of("{\"a\": 1}", 8), HasSubstr("object"));
  EXPECT_THAT(error_of("[1]", 8), HasSubstr("object"));
  EXPECT_THAT(error_of(std::string(100000, '['), 8), HasSubstr("w.safetensors"));
  EXPECT_THAT(error_of("{\"a\": {\"dtype\": \"F32\"}}", 8), HasSubstr("shape"));
}

TEST(SafetensorsReader, FilesThatAreCutOrNoneAreRefused) {
  const TempFolder folder;
  const std::string path = folder.file("w.safetensors");
  EXPECT_THAT(error_of_opening(path), HasSubstr("cannot be read"));
  write_file(path, "1234567");
  EXPECT_THAT(error_of_opening(path), HasSubstr("7 bytes long"));
  write_file(path, std::string(8, '\xff') + "{}");
  EXPECT_THAT(error_of_opening(path), HasSubstr("says that its header is"));
  write_file(path, std::string("\x00\x00\x00\x10\x00\x00\x00\x00{}", 10));  // 256 MiB
  EXPECT_THAT(error_of_opening(path), HasSubstr("says that its header is"));
  write_file(path, std::string("\x02\x00\x00\x00\x00\x00\x00\x00{}", 10));
  EXPECT_EQ(error_of_opening(path), "no error");
}

TEST(SafetensorsReader, OnlyFloatingTypesAreWeights) {
  const TempFolder folder;
  const std::int64_t one = 1;
  const std::string header = "{" + tensor("t", "I64", "[1]", "[0, 8]") + "}";
  const std::uint64_t length = header.size();
  write_file(folder.file("w.safetensors"), std::string(reinterpret_cast<const char*>(&length), 8) + header +
                                               std::string(reinterpret_cast<const char*>(&one), 8));
  const SafetensorsReader file(folder.file("w.safetensors"));
  float value = 0;
  EXPECT_THROW(file.read(file.tensors()[0], 0, std::span(&value, 1)), Error);
}

}  // namespace
}  // namespace shardscope
