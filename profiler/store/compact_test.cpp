// Packed data: what comes out is what went in, whatever a file holds; files of earlier versions.

#include "profiler/store/compact.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <fstream>
#include <limits>
#include <random>

#include "core/error.h"
#include "profiler/query/op_summary.h"
#include "profiler/query/timeline.h"
#include "profiler/store/chunks.h"
#include "profiler/store/packed.h"
#include "profiler/store/profile.h"
#include "profiler/store/test_profile.h"
#include "source_dir.h"

namespace shardscope {
namespace {

using testing::TempFolder;

std::vector<std::int64_t> round_trip(const std::vector<std::int64_t>& values) {
  const std::string data = pack<2>(values.size(), [&](std::size_t i) {
    return std::array<std::int64_t, 2>{static_cast<std::int64_t>(i), values[i]};
  });
  std::vector<std::int64_t> read;
  PackedReader<2> reader(data);
  for (std::array<std::int64_t, 2> row{}; reader.next(row);) read.push_back(row[1]);
  EXPECT_TRUE(reader.whole());
  return read;
}

TEST(Packed, AnyIntegersComeBack) {
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min(), kMax = std::numeric_limits<std::int64_t>::max();
  for (const std::vector<std::int64_t>& values : {std::vector<std::int64_t>{},
                                                  {0},
                                                  {kMin},
                                                  {kMax, kMin, kMax},
                                                  {7, 7, 7, 7},
                                                  {-1, -1, 5, 5, 5, 5, 5, 5, 5},
                                                  {1, 2, 3, 127, 128, 16383, 16384},
                                                  {kMin, kMin, kMin, 0, kMax, kMax}}) {
    EXPECT_EQ(round_trip(values), values);
  }
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int64_t> values(random() % 300);
    const int bits = static_cast<int>(random() % 64);
    for (std::int64_t& value : values) value = static_cast<std::int64_t>(random()) >> bits;
    ASSERT_EQ(round_trip(values), values);
  }
}

std::vector<SliceEvent> some_slices(std::size_t count) {
  std::mt19937 random(7);
  std::vector<SliceEvent> slices;
  std::int64_t at = 1'700'000'000;
  for (std::size_t i = 0; i < count; ++i) {
    SliceEvent e;
    e.op = OpId{static_cast<std::int32_t>(random() % 500)};
    e.step = static_cast<std::int32_t>(i / 1000);
    e.start_ns = at;
    e.duration_ns = 2'000 + static_cast<std::int64_t>(random() % 60'000);
    e.correlation = static_cast<std::int64_t>(3 * i + random() % 3);
    at += e.duration_ns + static_cast<std::int64_t>(random() % 5'000);
    slices.push_back(e);
  }
  return slices;
}

TEST(Packed, SlicesOfAStreamTakeLessThanTenBytesWithAllColumns) {
  const std::vector<SliceEvent> slices = some_slices(kChunkRows);
  const EventChunk chunk = pack(std::span<const SliceEvent>(slices));
  EXPECT_LT(chunk.data.size(), 9 * slices.size());
  std::size_t at = 0;
  EXPECT_TRUE(decode_slices(chunk.data, chunk.start_ns, [&](const SliceEvent& e) {
    ASSERT_EQ(e.start_ns, slices[at].start_ns);
    ASSERT_EQ(e.duration_ns, slices[at].duration_ns);
    ASSERT_EQ(e.op.index, slices[at].op.index);
    ASSERT_EQ(e.step, slices[at].step);
    ASSERT_EQ(e.correlation, slices[at].correlation);
    ++at;
  }));
  EXPECT_EQ(at, slices.size());
}

using Times = std::array<std::int64_t, 4>;  ///< start, duration, wait, op

std::vector<Times> rows_of(const EventChunk& chunk, std::int64_t end_ns) {
  std::vector<Times> rows;
  EXPECT_TRUE(decode_blocks(chunk.data, chunk.start_ns, end_ns, [&](const SliceBlock& b) {
    for (std::size_t i = 0; i < b.rows; ++i)
      rows.push_back({b.base_ns + b.start[i], b.duration[i], b.wait[i], b.op[i]});
  }));
  return rows;
}

TEST(Packed, BlocksHaveWhatTheSlicesHave) {
  std::mt19937 random(23);
  for (const std::size_t count : {1U, 255U, 256U, 257U, 3000U}) {
    std::vector<SliceEvent> slices = some_slices(count);
    for (SliceEvent& e : slices) {  // columns of one value, of runs, of small and of large values
      e.op = OpId{count > 1000 ? e.op.index / 100 : 7};
      e.wait_ns = count == 257 ? 3 : static_cast<std::int64_t>(random() % 1000);
      if (random() % 50 == 0) e.duration_ns = std::int64_t{1} << (random() % 60);
    }
    std::vector<Times> expected;
    for (const SliceEvent& e : slices) expected.push_back({e.start_ns, e.duration_ns, e.wait_ns, e.op.index});
    constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max() / 4;
    const EventChunk packed = pack(std::span<const SliceEvent>(slices));
    EXPECT_EQ(rows_of(packed, kNever), expected) << count;
    EXPECT_EQ(rows_of(encode(std::span<const SliceEvent>(slices)), kNever), expected) << count;
    const std::int64_t end = slices[count / 2].start_ns;
    const std::vector<Times> some = rows_of(packed, end);
    EXPECT_LE(some.size(), count / 2 + kBlockRows);
    ASSERT_GE(some.size(), count / 2) << "all that begin before";
    EXPECT_TRUE(std::equal(some.begin(), some.end(), expected.begin()));
  }
}

TEST(Packed, WrongBytesAreRefused) {
  const std::vector<SliceEvent> slices = some_slices(50);
  const std::string good = pack(std::span<const SliceEvent>(slices)).data;
  const auto nothing = [](const SliceEvent&) {};
  const auto no_blocks = [](const SliceBlock&) {};
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_slices(std::string_view(good).substr(0, size), 0, nothing)) << size;
    EXPECT_FALSE(decode_blocks(std::string_view(good).substr(0, size), 0, 1, no_blocks)) << size;
  }
  EXPECT_FALSE(decode_slices(good + "x", 0, nothing));
  std::string claims(1, kPackedMark);
  claims += "\xff\xff\x03";  // 65535 rows in no bytes
  for (int column = 0; column < 6; ++column) claims += std::string("\0\0", 2);
  EXPECT_FALSE(decode_slices(claims, 0, nothing)) << "the first column has a byte a row";
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string changed = good;
    for (int k = 0; k < 3; ++k) changed[1 + random() % (changed.size() - 1)] = static_cast<char>(random());
    std::size_t rows = 0;
    decode_slices(changed, 0, [&](const SliceEvent& e) {
      ++rows;
      ASSERT_GE(e.start_ns, 0);
      ASSERT_GE(e.duration_ns, 0);
    });
    ASSERT_LE(rows, changed.size());
    decode_blocks(changed, 0, 1'000'000'000, [&](const SliceBlock& b) {
      ASSERT_LE(b.rows, kBlockRows);
      for (std::size_t i = 0; i < b.rows; ++i) ASSERT_GE(std::min({b.start[i], b.duration[i], b.wait[i]}), 0);
    });
  }
}

std::string all_rows(const Profile& profile, const std::string& sql) {
  std::string text;
  for (Rows rows = profile.rows(sql); rows.next(); text += '\n') {
    for (int c = 0; c < rows.columns(); ++c) text += std::to_string(rows.integer(c)) + ' ';
  }
  return text;
}

TEST(Compact, ChangesNoAnswer) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "run", 300);
  const std::string slices = "SELECT run, rank, track, op, step, start_ns, dur_ns, wait_ns FROM slice ORDER BY 2, 3, 6",
                    memory = "SELECT run, rank, op, step, time_ns, live_bytes FROM memory ORDER BY 2, 5, 6";
  std::string before_slices, before_memory;
  {
    const Profile profile(path);
    before_slices = all_rows(profile, slices);
    before_memory = all_rows(profile, memory);
  }
  const CompactResult result = compact_profile(path);
  EXPECT_LT(result.bytes_after, result.bytes_before);
  const Profile profile(path);
  EXPECT_EQ(all_rows(profile, slices), before_slices);
  EXPECT_EQ(all_rows(profile, memory), before_memory);
  EXPECT_EQ(all_rows(profile, "SELECT count(*) FROM slice_chunk WHERE typeof(data) = 'text'"), "0 \n");
  EXPECT_EQ(all_rows(profile, "SELECT count(*) FROM memory_chunk WHERE typeof(data) = 'text'"), "0 \n");
  EXPECT_EQ(Timeline(profile, 1).tracks()[0].slices, 900);
}

/// What any SQLite tool sees, which has neither our functions nor our views.
TEST(Compact, OtherToolsSeeWhatIsNotPacked) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "packed", 3);
  compact_profile(path);
  testing::record_tiny_profile(path, "plain", 2);
  Connection plain(path, Connection::Mode::kReadOnly);
  EXPECT_EQ(plain.integer("SELECT count(*) FROM slice"), 2 * 2 * 6);
  EXPECT_EQ(plain.integer("SELECT count(*) FROM memory"), 2 * 2 * 4);
  EXPECT_EQ(plain.integer("SELECT count(*) FROM op_time WHERE run = 1"), 2 * 6) << "its totals were written";
  EXPECT_EQ(all_rows(Profile(path), "SELECT count(*) FROM slice"), "60 \n");
}

TEST(Compact, ALongRunIsPackedWhenItEnds) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "run", static_cast<int>(kSlicesWorthPacking / 12 + 1));
  const Profile profile(path);
  EXPECT_EQ(all_rows(profile, "SELECT count(*) FROM slice_chunk WHERE typeof(data) = 'text'"), "0 \n");
  EXPECT_EQ(all_rows(profile, "SELECT count(*) >= 100000 FROM slice"), "1 \n");
  EXPECT_EQ(all_rows(profile, "SELECT sum(length(data)) < 9 * sum(slices) FROM slice_chunk"), "1 \n");
}

// ---------------------------------------------------------------- files of earlier versions

/// A profile that `shardscope train` of that version wrote (tests/fixtures/profiles).
std::string unzipped(const TempFolder& folder, const std::string& name) {
  const std::string from = std::string(SHARDSCOPE_SOURCE_DIR) + "/tests/fixtures/profiles/" + name + ".gz";
  std::string path = folder.file(name), block(1 << 16, '\0');
  std::ofstream out(path, std::ios::binary);
  gzFile in = gzopen(from.c_str(), "rb");
  EXPECT_NE(in, nullptr) << from;
  for (int n = 0; in != nullptr && (n = gzread(in, block.data(), static_cast<unsigned>(block.size()))) > 0;)
    out.write(block.data(), n);
  gzclose(in);
  return path;
}

class EarlierVersion : public ::testing::TestWithParam<int> {};

TEST_P(EarlierVersion, IsReadAndMigratedWhenRecordedInto) {
  const TempFolder folder;
  const std::string path = unzipped(folder, "v" + std::to_string(GetParam()) + ".db");
  const char* slices = "SELECT rank, track, op, step, start_ns, dur_ns FROM slice WHERE run = 1 ORDER BY 1, 2, 5, 3";
  std::string before;
  std::int64_t spans = 0;
  {
    const Profile profile(path);
    EXPECT_EQ(profile.schema_version(), GetParam());
    before = all_rows(profile, slices);
    EXPECT_FALSE(op_summary(profile, 1).empty());
    const Timeline timeline(profile, 1);
    for (const TimelineTrack& t : timeline.tracks())
      spans += static_cast<std::int64_t>(timeline.spans(t, timeline.extent()).size());
    EXPECT_GT(spans, 200);
    EXPECT_GT(timeline.look(timeline.tracks()[0], timeline.extent(), 10).spans.size() +
                  timeline.look(timeline.tracks()[0], timeline.extent(), 10).buckets.size(),
              0U);
  }
  testing::record_tiny_profile(path, "new", 2);
  {
    const Profile profile(path);
    EXPECT_EQ(profile.schema_version(), kSchemaVersion);
    EXPECT_EQ(all_rows(profile, slices), before);
    EXPECT_EQ(all_rows(profile, "SELECT count(*) FROM source"), "0 \n");
    Rows doc = profile.rows("SELECT count(*) FROM schema_doc");
    ASSERT_TRUE(doc.next());
    testing::record_tiny_profile(folder.file("fresh.db"), "fresh");
    EXPECT_EQ(all_rows(Profile(folder.file("fresh.db")), "SELECT count(*) FROM schema_doc"),
              std::to_string(doc.integer(0)) + " \n")
        << "its documentation is that of a new file";
  }
  compact_profile(path);
  EXPECT_EQ(all_rows(Profile(path), slices), before);
}

INSTANTIATE_TEST_SUITE_P(Versions, EarlierVersion, ::testing::Values(1, 2));

}  // namespace
}  // namespace shardscope
