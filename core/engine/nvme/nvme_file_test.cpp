#include "core/engine/nvme/nvme_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "core/error.h"

namespace shardscope {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::size_t size, unsigned seed) {
  std::minstd_rand engine(seed);
  Bytes bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(engine() >> 7);
  return bytes;
}

/// Both ways of moving bytes, small requests so that many are in flight.
class NvmeFileTest : public ::testing::TestWithParam<bool> {
 protected:
  NvmeFileTest() {
    char name[] = "/tmp/shardscope-nvme-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~NvmeFileTest() override { std::filesystem::remove_all(folder_); }

  NvmeFileOptions options(std::int64_t bytes) const {
    NvmeFileOptions options{folder_, 3, bytes, {}, GetParam()};
    options.aio.block_size = 8192;
    options.aio.queue_depth = 4;
    return options;
  }
  static Bytes read(NvmeFile& file, std::int64_t offset, std::size_t bytes) {
    Bytes out(bytes);
    file.read(offset, out);
    return out;
  }
  template <class F>
  static std::string refusal(F&& f) {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::string folder_;
};

TEST_P(NvmeFileTest, GivesBackWhatWasWritten) {
  for (const int parallel : {1, 3}) {
    for (const bool overlap : {true, false}) {
      NvmeFileOptions o = options(1 << 20);
      o.aio.intra_op_parallelism = parallel;
      o.aio.overlap_events = overlap;
      o.aio.single_submit = !overlap;
      NvmeFile file(o);
      const Bytes a = random_bytes(300'001, 1), b = random_bytes(4096, 2), c = random_bytes(7, 3);
      file.write(0, a);
      file.write(512 * 1024, b);
      file.write(1000 * 1024, c);
      EXPECT_EQ(read(file, 0, a.size()), a);
      EXPECT_EQ(read(file, 512 * 1024, b.size()), b);
      EXPECT_EQ(read(file, 1000 * 1024, c.size()), c);
      EXPECT_EQ(read(file, 123'457, 100), Bytes(a.begin() + 123'457, a.begin() + 123'557));
    }
  }
}

TEST_P(NvmeFileTest, WritesStraightFromRegisteredMemory) {
  constexpr std::size_t kBytes = 1 << 20;
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(kSwapBlock, 2 * kBytes));
  NvmeFile file(options(kBytes));
  file.register_memory(memory, 2 * kBytes);
  const Bytes values = random_bytes(kBytes, 5);
  std::copy(values.begin(), values.end(), memory);
  file.write(0, {memory, kBytes});
  file.read(0, {memory + kBytes, kBytes});
  EXPECT_EQ(Bytes(memory + kBytes, memory + 2 * kBytes), values);
  std::free(memory);
}

TEST_P(NvmeFileTest, PatchKeepsWhatIsAround) {
  NvmeFile file(options(1 << 16));
  Bytes expected = random_bytes(50'000, 1);
  file.write(0, expected);
  for (const auto& [offset, size] : {std::pair{5000, 3}, {4095, 2}, {0, 4096}, {100, 20'000}, {49'000, 1000}}) {
    const Bytes patch = random_bytes(static_cast<std::size_t>(size), 9);
    file.patch(offset, patch);
    std::copy(patch.begin(), patch.end(), expected.begin() + offset);
    ASSERT_EQ(read(file, 0, expected.size()), expected) << offset;
  }
}

TEST_P(NvmeFileTest, ReadsZerosWhereNothingWasWritten) {
  NvmeFile file(options(20'000));
  EXPECT_EQ(file.size(), 20'480);
  EXPECT_EQ(read(file, 100, 9000), Bytes(9000));
}

TEST_P(NvmeFileTest, ReadsWhileItWrites) {
  NvmeFile file(options(4 << 20));
  const Bytes a = random_bytes(2 << 20, 1), b = random_bytes(2 << 20, 2);
  file.write(0, a);
  std::thread writer([&] { file.write(2 << 20, b); });
  EXPECT_EQ(read(file, 0, a.size()), a);
  writer.join();
  EXPECT_EQ(read(file, 2 << 20, b.size()), b);
}

TEST_P(NvmeFileTest, LeavesNoNameBehind) {
  const NvmeFile file(options(1 << 16));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

// ---------------------------------------------------------------- what can go wrong

TEST_P(NvmeFileTest, ABlockThatChangedIsNotRead) {
  NvmeFile file(options(1 << 16));
  file.write(0, random_bytes(1 << 16, 1));
  const std::byte wrong[] = {std::byte{1}, std::byte{2}, std::byte{3}};
  const std::string path = fmt::format("/proc/self/fd/{}", file.descriptor());
  FILE* const other = std::fopen(path.c_str(), "r+b");
  ASSERT_NE(other, nullptr);
  std::fseek(other, 20'000, SEEK_SET);
  std::fwrite(wrong, 1, sizeof wrong, other);
  std::fclose(other);
  EXPECT_EQ(read(file, 0, 16'384).size(), 16'384U);
  EXPECT_THAT(refusal([&] { read(file, 0, 1 << 16); }),
              AllOf(HasSubstr(folder_), HasSubstr("rank 3"), HasSubstr("read at offset 16384"),
                    HasSubstr("not what was written")));
}

TEST_P(NvmeFileTest, AFileMadeShorterIsSaid) {
  NvmeFile file(options(1 << 16));
  file.write(0, random_bytes(1 << 16, 1));
  ASSERT_EQ(::ftruncate(file.descriptor(), 30'000), 0);
  EXPECT_THAT(refusal([&] { read(file, 0, 1 << 16); }),
              AllOf(HasSubstr(folder_), HasSubstr("read of 8192 bytes"), ContainsRegex("offset (24576|32768)"),
                    HasSubstr("ends early")));
}

/// A limit on how far files may grow stands for a full drive: nothing else a test may do fills one.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_P(NvmeFileTest, TooLittleRoomIsSaidAtTheStart) {
  const FileSizeLimit limit(1 << 16);
  EXPECT_THAT(refusal([&] { const NvmeFile file(options(1 << 20)); }),
              AllOf(HasSubstr(folder_), HasSubstr("rank 3"), HasSubstr("cannot take 1048576 bytes")));
}

TEST_P(NvmeFileTest, AWriteThatTheSystemRefusesNamesItsPlace) {
  NvmeFile file(options(1 << 17));
  ASSERT_EQ(::ftruncate(file.descriptor(), 0), 0);
  const FileSizeLimit limit(1 << 16);
  EXPECT_THAT(
      refusal([&] { file.write(0, random_bytes(1 << 17, 1)); }),
      AllOf(HasSubstr(folder_), ContainsRegex("write of 8192 bytes at offset [6-9][0-9]{4}"), HasSubstr("too large")));
  EXPECT_THAT(refusal([&] { file.write(0, random_bytes(1 << 15, 2)); }), HasSubstr("no error"));  // still usable
}

TEST_P(NvmeFileTest, AFolderThatCannotBeWrittenToIsNamed) {
  NvmeFileOptions o = options(4096);
  o.folder = folder_ + "/missing";
  EXPECT_THAT(refusal([&] { const NvmeFile file(o); }), AllOf(HasSubstr("missing"), HasSubstr("No such file")));
  o.folder = "/proc";
  EXPECT_THAT(refusal([&] { const NvmeFile file(o); }), HasSubstr("nvme_path /proc: cannot make a swap file there"));
}

INSTANTIATE_TEST_SUITE_P(Ways, NvmeFileTest, ::testing::Bool(),
                         [](const auto& way) { return way.param ? "uring" : "plain"; });

TEST(BlockChecksum, EveryChangedByteShows) {
  Bytes block = random_bytes(kSwapBlock, 4);
  const std::uint32_t sum = block_checksum(block.data());
  for (std::size_t i = 0; i < block.size(); i += 13) {
    block[i] ^= std::byte{16};
    EXPECT_NE(block_checksum(block.data()), sum) << i;
    block[i] ^= std::byte{16};
  }
  EXPECT_NE(block_checksum(Bytes(kSwapBlock).data()), 0U);
  EXPECT_EQ(block_checksum(block.data()), sum);
}

}  // namespace
}  // namespace shardscope
