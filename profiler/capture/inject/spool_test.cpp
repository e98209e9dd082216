// Spool: what threads write is what a reader reads, whatever happens to the process.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "core/error.h"
#include "profiler/capture/inject/spool_writer.h"
#include "profiler/capture/spool_reader.h"

namespace shardscope::capture {
namespace {

/// A folder for spools, and children that write into it: each has a spool of its own, as fork() demands.
class SpoolTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("spool_test_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    setenv("SHARDSCOPE_SPOOL", folder_.c_str(), 1);
    unsetenv("SHARDSCOPE_RING");
    setenv("SHARDSCOPE_SPOOL_MB", "1", 1);  // 16 chunks
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// Runs `work` in a child that ends without any cleanup; its wait status.
  template <class Work>
  int in_child(Work work) {
    const pid_t child = fork();
    if (child == 0) {
      work();
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status;
  }
  std::string only_spool() const {
    const std::vector<std::string> spools = list_spools(folder_.string());
    EXPECT_EQ(spools.size(), 1u);
    return spools.empty() ? "" : spools.front();
  }
  std::filesystem::path folder_;
};

void write_mark(std::string_view text, std::int64_t time) {
  Spool* spool = Spool::get();
  ASSERT_NE(spool, nullptr);
  const std::uint64_t name = spool->intern(text);
  auto* record = spool->begin<RangeRecord>(RecordKind::kMark);
  if (record == nullptr) return;
  record->head.time_ns = time;
  record->name = name;
  spool->commit(record);
}

TEST_F(SpoolTest, KeepsEveryThreadsRecordsInOrder) {
  constexpr int kThreads = 4, kEach = 1000;
  in_child([] {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < kEach; ++i) write_mark("thread " + std::to_string(t), i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  SpoolReader reader(only_spool());
  std::map<std::string, std::vector<std::int64_t>> times;
  std::map<std::string, std::set<std::uint32_t>> ids;
  EXPECT_EQ(reader.poll([&](std::uint32_t thread, const RecordHead& head) {
    const auto* mark = record_as<RangeRecord>(head);
    ASSERT_NE(mark, nullptr);
    times[std::string(reader.text(mark->name))].push_back(head.time_ns);
    ids[std::string(reader.text(mark->name))].insert(thread);
  }),
            kThreads * kEach);
  ASSERT_EQ(times.size(), static_cast<std::size_t>(kThreads));
  for (const auto& [name, list] : times) {
    EXPECT_EQ(list.size(), static_cast<std::size_t>(kEach)) << name;
    EXPECT_TRUE(std::is_sorted(list.begin(), list.end())) << name;
    EXPECT_EQ(ids[name].size(), 1u) << name;
  }
  EXPECT_EQ(reader.header().lost_records.load(), 0u);
  EXPECT_EQ(reader.damaged(), 0);
}

TEST_F(SpoolTest, LosesNothingToKill9) {
  const int status = in_child([] {
    for (int i = 0; i < 777; ++i) write_mark("before the end", i);
    raise(SIGKILL);
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  SpoolReader reader(only_spool());
  EXPECT_EQ(reader.poll([](std::uint32_t, const RecordHead&) {}), 777);
  EXPECT_EQ(reader.header().ended.load(), 0u);
  EXPECT_FALSE(reader.process_alive());
}

TEST_F(SpoolTest, CountsWhatFindsNoRoomAndNeverWaits) {
  constexpr int kTooMany = 40'000;  // of 56 bytes: 2.2 MB for a spool of 1 MiB
  in_child([] {
    for (int i = 0; i < kTooMany; ++i) write_mark("much", i);
  });
  SpoolReader reader(only_spool());
  const std::int64_t kept = reader.poll([](std::uint32_t, const RecordHead&) {});
  EXPECT_GT(kept, 10'000);
  EXPECT_EQ(kept + static_cast<std::int64_t>(reader.header().lost_records.load()), kTooMany);
}

TEST_F(SpoolTest, RingKeepsTheNewest) {
  setenv("SHARDSCOPE_RING", "1", 1);
  constexpr int kMany = 100'000;
  in_child([] {
    for (int i = 0; i < kMany; ++i) write_mark("ring", i);
  });
  SpoolReader reader(only_spool());
  std::int64_t last = -1, first = -1;
  std::int64_t count = reader.poll([&](std::uint32_t, const RecordHead& head) {
    if (first < 0) first = head.time_ns;
    EXPECT_TRUE(last < 0 || head.time_ns == last + 1) << last;
    last = head.time_ns;
  });
  EXPECT_EQ(last, kMany - 1);
  EXPECT_EQ(count, last - first + 1);
  EXPECT_GT(reader.header().overwritten.load(), 0u);
  EXPECT_EQ(reader.header().lost_records.load(), 0u);
}

TEST_F(SpoolTest, PeekingLeavesTheRingAsItIs) {
  setenv("SHARDSCOPE_RING", "1", 1);
  constexpr int kMany = 200'000;
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < kMany; ++i) write_mark("ring", i);
    _exit(0);
  }
  while (list_spools(folder_.string()).empty()) usleep(1000);
  SpoolReader reader(only_spool());
  std::int64_t seen = 0, last = -1;
  int status = 0;
  for (bool ended = false; !ended;) {
    ended = waitpid(child, &status, WNOHANG) == child;
    seen += reader.peek([&](std::uint32_t, const RecordHead& head) {
      EXPECT_GT(head.time_ns, last) << "each once, in order";
      last = head.time_ns;
    });
  }
  EXPECT_EQ(last, kMany - 1);
  EXPECT_EQ(reader.damaged(), 0) << "what was written over meanwhile is not looked at";
  const std::int64_t there = reader.poll([](std::uint32_t, const RecordHead&) {});
  EXPECT_GT(there, 10'000);
  EXPECT_LE(there, seen);
}

TEST_F(SpoolTest, ReaderGivesRoomBackWhileTheWriterGoesOn) {
  constexpr int kMany = 200'000;
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < kMany; ++i) {
      write_mark("stream", i);
      if (i % 5000 == 0) usleep(2000);
    }
    _exit(0);
  }
  while (list_spools(folder_.string()).empty()) usleep(1000);
  SpoolReader reader(only_spool());
  std::int64_t count = 0, expected = 0;
  int status = 0;
  bool ended = false;
  while (!ended) {
    ended = waitpid(child, &status, WNOHANG) == child;
    count += reader.poll([&](std::uint32_t, const RecordHead& head) {
      EXPECT_GE(head.time_ns, expected);
      expected = head.time_ns + 1;
    });
  }
  EXPECT_EQ(count + static_cast<std::int64_t>(reader.header().lost_records.load()), kMany);
  EXPECT_GT(count, 18'000) << "more than the spool holds at once";
}

TEST_F(SpoolTest, ForkedChildWritesIntoOneOfItsOwn) {
  in_child([] {
    write_mark("parent", 1);
    const pid_t child = fork();
    if (child == 0) {
      write_mark("child", 2);
      _exit(0);
    }
    waitpid(child, nullptr, 0);
    write_mark("parent", 3);
  });
  std::multiset<std::string> seen;
  for (const std::string& path : list_spools(folder_.string())) {
    SpoolReader reader(path);
    std::string all;
    reader.poll([&](std::uint32_t, const RecordHead& head) {
      all += std::string(reader.text(record_as<RangeRecord>(head)->name)) + std::to_string(head.time_ns) + " ";
    });
    seen.insert(all);
  }
  EXPECT_EQ(seen, (std::multiset<std::string>{"parent1 parent3 ", "child2 "}));
}

TEST_F(SpoolTest, WithoutAFolderNothingIsRecorded) {
  unsetenv("SHARDSCOPE_SPOOL");
  const int status = in_child([] { _exit(Spool::get() == nullptr ? 7 : 8); });
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(SpoolTest, WithoutRoomOnTheDiskNothingIsRecordedAndNothingLeftBehind) {
  setenv("SHARDSCOPE_SPOOL_MB", "100000000", 1);  // 100 TB
  const int status = in_child([] { _exit(Spool::get() == nullptr ? 7 : 8); });
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(SpoolTest, DamagedFilesAreRefusedOrSkipped) {
  in_child([] {
    for (int i = 0; i < 100; ++i) write_mark("good", i);
  });
  const std::string path = only_spool();
  std::string bytes;
  {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  const auto with = [&](std::size_t at, char value, std::size_t keep) {
    std::string changed = bytes.substr(0, keep);
    if (at < changed.size()) changed[at] = value;
    const std::string copy = (folder_ / "copy.bin").string();
    std::ofstream(copy, std::ios::binary) << changed;
    return copy;
  };
  EXPECT_THROW(SpoolReader(with(0, 'x', bytes.size())), Error);
  EXPECT_THROW(SpoolReader(with(1, 'x', 100)), Error);
  EXPECT_THROW(SpoolReader(with(12, 127, bytes.size())), Error);  // more chunks than the file has
  EXPECT_THROW(SpoolReader((folder_ / "missing").string()), Error);
  // A record of impossible size in the first chunk: what is before it is read.
  const std::size_t first_record = chunk_offset(0) + sizeof(ChunkHeader);
  SpoolReader reader(with(first_record + 10 * sizeof(RangeRecord), 3, bytes.size()));
  EXPECT_EQ(reader.poll([](std::uint32_t, const RecordHead&) {}), 10);
  EXPECT_EQ(reader.damaged(), 1);
}

TEST(StringId, TellsTextsApart) {
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 10'000; ++i) {
    const std::string text = "kernel_" + std::to_string(i);
    ids.insert(string_id(text.data(), text.size()));
  }
  EXPECT_EQ(ids.size(), 10'000u);
  EXPECT_NE(string_id("", 0), 0u);
  EXPECT_NE(string_id("a", 1), string_id("a\0", 2));
}

}  // namespace
}  // namespace shardscope::capture
