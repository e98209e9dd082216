// Logs: what a spool gave is what the log gives back, and logs that were cut or damaged are read up to there.
#include "profiler/capture/capture_log.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "profiler/capture/inject/spool_writer.h"
#include "profiler/capture/recording.h"

namespace shardscope::capture {
namespace {

class CaptureLogTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("capture_log_test_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    setenv("SHARDSCOPE_SPOOL_MB", "1", 1);
    setenv("RANK", "5", 1);
    unsetenv("SHARDSCOPE_RING");
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
    unsetenv("RANK");
  }

  /// Records `count` marks of a child, in parts, into a log; its path.
  std::string record(int count) {
    Recording recording(folder_.string(), {});
    setenv("SHARDSCOPE_SPOOL", folder_.c_str(), 1);
    const pid_t child = fork();
    if (child == 0) {
      for (int i = 0; i < count; ++i) write(i);
      Spool::say_goodbye();
      _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) recording.poll();
    const std::vector<std::string> logs = recording.finish();
    EXPECT_EQ(logs.size(), 1u);
    EXPECT_TRUE(list_spools(folder_.string()).empty()) << "spools are gone";
    return logs.empty() ? "" : logs[0];
  }
  static void write(int i) {
    Spool* spool = Spool::get();
    const std::uint64_t name = spool->intern("mark " + std::to_string(i % 7));
    if (auto* record = spool->begin<RangeRecord>(RecordKind::kMark)) {
      record->head.time_ns = i;
      record->name = name;
      spool->commit(record);
    }
  }
  static std::vector<std::string> texts(CaptureLogReader& reader, bool* whole = nullptr) {
    std::vector<std::string> all;
    const bool good = reader.read([&](std::uint32_t, const RecordHead& head) {
      all.push_back(std::string(reader.text(record_as<RangeRecord>(head)->name)) + " at " +
                    std::to_string(head.time_ns));
    });
    if (whole != nullptr) *whole = good;
    return all;
  }
  std::filesystem::path folder_;
};

TEST_F(CaptureLogTest, GivesBackWhatWasWritten) {
  constexpr int kMany = 5000;
  CaptureLogReader reader(record(kMany));
  EXPECT_EQ(reader.facts().rank, 5);
  bool whole = false;
  const std::vector<std::string> all = texts(reader, &whole);
  EXPECT_TRUE(whole);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(kMany));
  EXPECT_EQ(all[0], "mark 0 at 0");
  EXPECT_EQ(all[4999], "mark 1 at 4999");
  EXPECT_TRUE(reader.facts().ended);
  EXPECT_EQ(reader.facts().lost_records, 0u);
  EXPECT_EQ(reader.facts().program, "capture_inject_test");
}

TEST_F(CaptureLogTest, CutAnywhereItIsReadUpToThere) {
  const std::string path = record(300);
  std::string bytes;
  {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  const std::string cut = (folder_ / "cut.capture").string();
  std::size_t most = 0;
  for (std::size_t keep = 8; keep < bytes.size(); keep += 97) {
    std::ofstream(cut, std::ios::binary | std::ios::trunc) << bytes.substr(0, keep);
    CaptureLogReader reader(cut);
    const std::size_t count = texts(reader).size();
    EXPECT_GE(count, most);
    most = count;
  }
  EXPECT_GT(most, 250u);
  std::ofstream(cut, std::ios::binary | std::ios::trunc) << "something else";
  EXPECT_THROW(CaptureLogReader{cut}, Error);
  EXPECT_THROW(CaptureLogReader{(folder_ / "missing").string()}, Error);
}

TEST_F(CaptureLogTest, GoesOnWhereAKilledRecorderLeftOff) {
  const std::string path = record(300);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);  // within a block
  setenv("SHARDSCOPE_SPOOL", folder_.c_str(), 1);
  if (const pid_t child = fork(); child == 0) {
    for (int i = 1000; i < 1050; ++i) write(i);
    _exit(0);
  } else {
    waitpid(child, nullptr, 0);
  }
  SpoolReader spool(list_spools(folder_.string()).at(0));
  CaptureLog(path, spool.header(), /*append=*/true).add(spool);
  CaptureLogReader reader(path);
  bool whole = false;
  const std::vector<std::string> all = texts(reader, &whole);
  EXPECT_TRUE(whole);
  ASSERT_GE(all.size(), 50u);
  EXPECT_EQ(all.back(), "mark 6 at 1049");
  EXPECT_EQ(all[all.size() - 50], "mark 6 at 1000");
}

TEST_F(CaptureLogTest, DamagedBytesNeverLeadAstray) {
  const std::string path = record(200);
  std::string bytes;
  {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  const std::string damaged = (folder_ / "damaged.capture").string();
  for (std::size_t at = 8; at < bytes.size(); at += 13) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x5a);
    std::ofstream(damaged, std::ios::binary | std::ios::trunc) << changed;
    CaptureLogReader reader(damaged);
    std::size_t count = 0;
    reader.read([&](std::uint32_t, const RecordHead&) { ++count; });
    EXPECT_LE(count, 200u * 56 / 16);
  }
}

TEST(ParseSources, NamesTheWordThatIsNone) {
  EXPECT_EQ(parse_sources("nvtx"), kSourceNvtx);
  EXPECT_EQ(parse_sources("kernels,nccl"), kSourceKernels | kSourceNccl);
  try {
    parse_sources("kernels,everything");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'everything' is none of kernels, api"), std::string::npos);
  }
}

}  // namespace
}  // namespace shardscope::capture
