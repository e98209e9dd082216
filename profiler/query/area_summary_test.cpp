// Sums of areas against a count over all slices: lanes of any length, packed or JSON, with and without levels, whose
// slices follow one another or lie in one another; areas that cut slices.

#include "profiler/query/area_summary.h"

#include <gtest/gtest.h>

#include <random>

#include "core/error.h"
#include "profiler/store/level_builder.h"
#include "profiler/store/open_store.h"
#include "profiler/store/run_store.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;
using Busy = std::array<std::int64_t, kWorkClasses>;

struct Recorded {
  int rank = 0;
  std::vector<SliceEvent> slices;  ///< by start, callers before what they call
};

/// Every stretch in which nothing changes belongs to the slice that began last.
Busy counted(const std::vector<SliceEvent>& slices, const std::vector<WorkClass>& classes, TimeWindow area) {
  std::vector<std::int64_t> times{area.begin_ns, area.end_ns};
  for (const SliceEvent& s : slices) {
    for (std::int64_t t : {s.start_ns, s.start_ns + s.wait_ns, s.start_ns + s.duration_ns})
      if (t > area.begin_ns && t < area.end_ns) times.push_back(t);
  }
  std::sort(times.begin(), times.end());
  Busy busy{};
  std::vector<const SliceEvent*> open;
  std::size_t next = 0;
  for (std::size_t i = 0; i + 1 < times.size(); ++i) {
    for (; next < slices.size() && slices[next].start_ns <= times[i]; ++next) open.push_back(&slices[next]);
    std::erase_if(open, [&](const SliceEvent* s) { return s->start_ns + s->duration_ns <= times[i]; });
    if (open.empty()) continue;
    const SliceEvent& owner = *open.back();
    const bool waits = times[i] < owner.start_ns + owner.wait_ns;
    const WorkClass work = waits ? WorkClass::kWait : classes[static_cast<std::size_t>(owner.op.index)];
    busy[static_cast<std::size_t>(work)] += times[i + 1] - times[i];
  }
  return busy;
}

/// Of tiny_program()'s ops. `nested`: calls within calls, else one after the other.
std::vector<SliceEvent> random_slices(std::mt19937& random, std::size_t count, bool nested) {
  std::vector<SliceEvent> slices;
  std::int64_t at = static_cast<std::int64_t>(random() % 5000);
  while (slices.size() < count) {
    SliceEvent e;
    e.op = OpId{1 + static_cast<std::int32_t>(random() % 6)};
    e.start_ns = at;
    e.duration_ns = static_cast<std::int64_t>(random() % (nested ? 4000 : 900));
    e.wait_ns =
        random() % 3 == 0 ? std::min<std::int64_t>(e.duration_ns, static_cast<std::int64_t>(random() % 400)) : 0;
    at +=
        nested ? static_cast<std::int64_t>(random() % 1000) : e.duration_ns + static_cast<std::int64_t>(random() % 99);
    slices.push_back(e);
  }
  std::stable_sort(slices.begin(), slices.end(), [](const SliceEvent& a, const SliceEvent& b) {
    return std::pair(a.start_ns, -a.duration_ns) < std::pair(b.start_ns, -b.duration_ns);
  });
  return slices;
}

void write_levels_as_imports(Connection& connection, std::int64_t track, const std::vector<SliceEvent>& slices,
                             const std::vector<WorkClass>& classes) {
  Statement insert(connection,
                   "INSERT INTO level_chunk (track, level, entries, start_ns, end_ns, data) VALUES (?, ?, ?, ?, ?, ?)");
  const std::int64_t end = slices.back().start_ns + slices.back().duration_ns;
  const int finest = finest_level(static_cast<std::int64_t>(slices.size()), end);
  LevelBuilder builder(finest, std::max(finest, coarsest_level(end)), classes, [&](int level, auto entries) {
    const std::string data = pack(entries);
    insert.run(track, level, static_cast<std::int64_t>(entries.size()), entries.front().bucket << (2 * level),
               (entries.back().bucket + 1) << (2 * level), Blob{data});
  });
  for (const SliceEvent& s : slices) builder.add(s);
  builder.finish();
}

class AreaSums : public ::testing::Test {
 protected:
  AreaSums() : path_(folder_.file("run.db")) {
    testing::record_tiny_profile(path_, "run", 1);
    Connection connection = open_for_writing(path_);
    connection.execute("DELETE FROM slice_chunk");
    classes_ = load_work_classes(connection.handle(), path_, 1);
  }

  void add_lane(int rank, std::vector<SliceEvent> slices, bool packed, bool levels) {
    RunStore store(open_for_writing(path_), 1);
    Transaction transaction(store.connection());
    const std::int64_t track = store.add_track(rank, "thread " + std::to_string(lanes_.size()));
    for (std::size_t at = 0; at < slices.size(); at += kChunkRows) {
      const auto chunk = std::span<const SliceEvent>(slices).subspan(at, std::min(kChunkRows, slices.size() - at));
      store.add_slices(track, packed ? pack(chunk) : encode(chunk));
    }
    if (levels) write_levels_as_imports(store.connection(), track, slices, classes_);
    transaction.commit();
    lanes_.push_back({rank, std::move(slices)});
  }

  void expect_exact(const Timeline& timeline, TimeWindow area, const RankSet& ranks) {
    std::map<int, Busy> expected;
    for (const Recorded& lane : lanes_) {
      if (!ranks.has(lane.rank)) continue;
      const Busy busy = counted(lane.slices, classes_, area);
      for (std::size_t c = 0; c < busy.size(); ++c) expected[lane.rank][c] += busy[c];
    }
    const std::vector<AreaRow> rows = area_summary(timeline, area, ranks);
    ASSERT_EQ(rows.size(), expected.size());
    for (const AreaRow& row : rows)
      ASSERT_EQ(row.busy_ns, expected[row.rank]) << row.rank << ": " << area.begin_ns << " " << area.end_ns;
  }

  TempFolder folder_;
  std::string path_;
  std::vector<WorkClass> classes_;
  std::vector<Recorded> lanes_;
};

TEST_F(AreaSums, AreWhatCountingSlicesGives) {
  std::mt19937 random(17);
  for (const std::size_t slices : {1U, 40U, 300U, 5000U, 21'000U}) {
    for (int kind = 0; kind < 4; ++kind) {
      const bool packed = kind % 2 == 0, nested = kind >= 2;
      add_lane(static_cast<int>(random() % 2), random_slices(random, slices, nested), packed, slices > kMinLevelSlices);
    }
  }
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  const TimeWindow all = timeline.extent();
  expect_exact(timeline, all, {0, 1});
  expect_exact(timeline, {0, 10 * all.end_ns}, {1, 1});
  for (int round = 0; round < 12; ++round) {
    const std::int64_t length = all.length() >> (round % 12);
    const std::int64_t begin = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(all.length()));
    expect_exact(timeline, {begin, begin + length}, {0, 1});
  }
  EXPECT_TRUE(area_summary(timeline, all, {0, 1, {0, 1}}).empty());
}

TEST_F(AreaSums, OfSlicesInAnyOrderAndOpsThatAreNone) {
  std::vector<SliceEvent> slices(3);
  slices[0] = {OpId{2}, 0, Lane::kCompute, 500, 100, 0};
  slices[1] = {OpId{2}, 0, Lane::kCompute, 100, 200, 50};
  slices[2] = {OpId{99}, 0, Lane::kCompute, 700, 100, 0};
  add_lane(0, slices, /*packed=*/false, /*levels=*/false);
  const Profile profile(path_);
  const std::vector<AreaRow> rows = area_summary(Timeline(profile, 1), {120, 2000}, {0, 1});
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].busy_ns[static_cast<std::size_t>(WorkClass::kWait)], 30);
  EXPECT_EQ(rows[0].busy_ns[static_cast<std::size_t>(classes_[2])], 250);
}

TEST_F(AreaSums, OfADamagedLaneAreOneError) {
  std::mt19937 random(3);
  add_lane(0, random_slices(random, 50, false), /*packed=*/true, /*levels=*/false);
  Connection(path_, Connection::Mode::kReadWrite).execute("UPDATE slice_chunk SET data = substr(data, 1, 60)");
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  EXPECT_THROW(area_summary(timeline, timeline.extent(), {0, 1}), Error);
}

}  // namespace
}  // namespace shardscope
