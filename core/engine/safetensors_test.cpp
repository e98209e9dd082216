#include "core/engine/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace shardscope {
namespace {

TEST(Safetensors, HeaderSaysWhereTheDataIs) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("shardscope_st_" + std::to_string(::getpid()))).string();
  const std::vector<float> a{1, 2, 3, 4, 5, 6};
  const std::vector<std::int32_t> b{7, -8};
  SafetensorsWriter file(path, {{"a.weight", DType::kF32, {2, 3}}, {"tokens", DType::kI32, {2}}});
  file.append(std::span<const float>(a).first(4));
  file.append(std::span<const float>(a).subspan(4));
  file.append(std::span<const std::int32_t>(b));
  file.finish();

  std::ifstream in(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  std::filesystem::remove(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  ASSERT_EQ(length % 8, 0U);
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  EXPECT_EQ(header["a.weight"]["dtype"], "F32");
  EXPECT_EQ(header["a.weight"]["shape"], (std::vector<int>{2, 3}));
  EXPECT_EQ(header["a.weight"]["data_offsets"], (std::vector<int>{0, 24}));
  EXPECT_EQ(header["tokens"]["dtype"], "I32");
  EXPECT_EQ(header["tokens"]["data_offsets"], (std::vector<int>{24, 32}));
  ASSERT_EQ(bytes.size(), 8 + length + 32);
  EXPECT_EQ(std::memcmp(bytes.data() + 8 + length, a.data(), 24), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 8 + length + 24, b.data(), 8), 0);
}

TEST(Safetensors, PlacesThatCannotBeWrittenAreErrors) {
  EXPECT_THROW(SafetensorsWriter("/nowhere/at/all", {}), Error);
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP();
  EXPECT_THROW(
      {
        SafetensorsWriter file("/dev/full", {{"a", DType::kF32, {1}}});
        const float x = 1;
        file.append(std::span(&x, 1));
        file.finish();
      },
      Error);
}

}  // namespace
}  // namespace shardscope
