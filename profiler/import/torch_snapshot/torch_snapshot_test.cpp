#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "profiler/import/test_import.h"
#include "profiler/import/test_pickle.h"

namespace shardscope {
namespace {

using namespace testing::pickled;  // NOLINT(google-build-using-namespace): text(), list(), dict() are what is tested
using ::testing::HasSubstr;
using testing::import_error;
using testing::import_texts;
using testing::rows_of;
using testing::TempFolder;

constexpr std::int64_t kStart = 1'700'000'000'000'000;  ///< us since 1970

std::string segment(std::int64_t device, std::int64_t total, std::int64_t allocated, std::int64_t active) {
  return dict({{"device", integer(device)},
               {"total_size", integer(total)},
               {"allocated_size", integer(allocated)},
               {"active_size", integer(active)},
               {"segment_type", text("large")},
               {"blocks", list({dict({{"size", integer(active)}})})}});
}

std::string entry(const std::string& action, std::int64_t address, std::int64_t size, std::int64_t us) {
  return dict({{"action", text(action)},
               {"addr", integer(address)},
               {"size", integer(size)},
               {"stream", integer(0)},
               {"time_us", integer(kStart + us)},
               {"frames", list({dict({{"name", text("forward")}})})}});
}

std::string annotation(const std::string& stage, const std::string& name, std::int64_t us) {
  return dict(
      {{"stage", text(stage)}, {"name", text(name)}, {"device", integer(1)}, {"time_us", integer(kStart + us)}});
}

std::string snapshot(const std::vector<std::string>& segments, const std::vector<std::string>& histories,
                     const std::vector<std::string>& annotations = {}) {
  return file(dict(
      {{"segments", list(segments)}, {"device_traces", list(histories)}, {"external_annotations", list(annotations)}}));
}

/// Device 1 of two, 300 bytes of which were there before the history.
std::string small() {
  return snapshot({segment(1, 4096, 300, 500), segment(1, 1024, 0, 0)},
                  {list({}), list({entry("segment_alloc", 64, 1024, 0), entry("alloc", 64, 700, 1),
                                   entry("free_requested", 8, 100, 2), entry("free_completed", 8, 100, 3),
                                   entry("alloc", 128, 200, 4), entry("free_completed", 64, 700, 5),
                                   entry("oom", 0, 1 << 20, 6), entry("snapshot", 0, 0, 7)})},
                  {annotation("START", "optimizer", 1), annotation("END", "optimizer", 4), annotation("END", "x", 4)});
}

TEST(TorchSnapshot, HistoryIsWalkedBackFromTheSegments) {
  const TempFolder folder;
  import_texts(folder, "mem_rank3.pickle", {small()});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT rank, time_ns, space, category, live_bytes FROM memory"),
            "3|1000|device|other|400\n3|1000|device|other|1100\n3|3000|device|other|1000\n"
            "3|4000|device|other|1200\n3|5000|device|other|500\n")
      << "500 are active at the end; a freed block is live until its free completed";
  EXPECT_EQ(rows_of(profile,
                    "SELECT s.lane, o.kind, o.name, o.bytes, s.start_ns, s.dur_ns FROM slice s JOIN op o ON "
                    "o.op = s.op ORDER BY s.start_ns, s.lane"),
            "gpu1 allocator|allocator|segment_alloc|1024|0|0\nannotations|annotation|optimizer|0|1000|3000\n"
            "gpu1 allocator|allocator|oom|1048576|6000|0\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic ORDER BY kind"), "out_of_memory|1\nunfinished|1\n");
  EXPECT_EQ(rows_of(profile, "SELECT what, count FROM loss ORDER BY what"), "blocks|2\nframes|8\n");
  const ImportedFile found = imported_files(profile, 1).at(0);
  const std::map<std::string, std::int64_t> counts = {{"events", 8},
                                                      {"memory_events", 8},
                                                      {"segments", 2},
                                                      {"reserved_bytes", 5120},
                                                      {"allocated_bytes", 300},
                                                      {"peak_traced_bytes", 900}};
  EXPECT_EQ(found.counts, counts);
  EXPECT_EQ(found.base_ns, 0);
  EXPECT_EQ(found.first_ns, kStart * 1000);
}

TEST(TorchSnapshot, EachDeviceIsARank) {
  const TempFolder folder;
  import_texts(folder, "snapshot.pickle",
               {snapshot({segment(0, 64, 8, 8), segment(2, 32, 4, 4)}, {list({entry("alloc", 1, 8, 0)})})});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT m.rank, d.device, m.live_bytes FROM memory m JOIN device d ON d.rank = m.rank"),
            "0|0|8\n1|2|4\n")
      << "a device without a history has what it holds now";
}

TEST(TorchSnapshot, ADifferentHistoryAndBrokenEntriesAreCounted) {
  const TempFolder folder;
  import_texts(
      folder, "snapshot.pickle",
      {snapshot({integer(1), segment(0, 64, 8, 8)},
                {list({entry("alloc", 1, 100, 0), entry("alloc", 2, -1, 1), text("x"), entry("moved", 3, 5, 2)})})});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT live_bytes FROM memory"), "100\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic ORDER BY kind"),
            "bad_entry|2\nbad_segment|1\nhistory_differs|1\nunknown_action|1\n");
}

TEST(TorchSnapshot, WhatIsNotDataIsRefused) {
  const TempFolder folder;
  const std::string call = file("}(" + text("device_traces") + "cos\nsystem\n(" + text("true") + "tRu");
  EXPECT_THAT(import_error(folder, "a.pickle", call), HasSubstr("calls Python classes"));
  EXPECT_THAT(import_error(folder, "a.pickle", snapshot({}, {list({})})), HasSubstr("a snapshot of no memory"));
  EXPECT_THAT(import_error(folder, "a.pickle", file(list({}))), HasSubstr("a Python pickle of another kind"));
}

TEST(TorchSnapshot, OfOneThatIsCutShortTheBeginningIsImported) {
  const TempFolder folder;
  const std::string whole = snapshot(
      {segment(0, 64, 8, 8)}, {list({entry("alloc", 1, 8, 0), entry("alloc", 2, 9, 1), entry("alloc", 3, 7, 2)})});
  import_texts(folder, "snapshot.pickle", {whole.substr(0, whole.rfind("alloc") + 5)});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(imported_files(profile, 1).at(0).counts.at("events"), 2);
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM diagnostic WHERE kind = 'truncated'"), "1\n");
}

/// 3000 times a list of 3000: small in the file.
TEST(TorchSnapshot, AListThatIsSharedOverAndOverIsRefused) {
  const TempFolder folder;
  std::string inner = "](", outer = "](h\x01";
  for (int i = 0; i < 3000; ++i) inner += "h\x02";
  for (int i = 0; i < 3000; ++i) outer += "h\x01";
  const std::string hostile =
      "\x80\x02" + entry("alloc", 1, 1, 1) + "q\x02" + inner + "eq\x01" + "}(" + text("device_traces") + outer + "eu.";
  EXPECT_THAT(import_error(folder, "a.pickle", hostile), HasSubstr("the same lists over and over"));
}

TEST(TorchSnapshot, ARealSnapshotHasTheAnswersThatWereCountedIndependently) {
  const std::string path = testing::trace_file("memsnap_mosaic_output.pickle");
  if (path.empty()) GTEST_SKIP() << "SKIPPED: no folder with real traces";
  std::ifstream file(testing::trace_file("EXPECTED.json"));
  const nlohmann::json expected = nlohmann::json::parse(file)["memsnap_mosaic_output.pickle"];
  const TempFolder folder;
  ImportControl control;
  import_files({path}, {.out = folder.file("run.db")}, control);
  const Profile profile(folder.file("run.db"));
  const ImportedFile found = imported_files(profile, 1).at(0);
  const std::pair<const char*, const char*> same[] = {{"peak_traced_bytes", "peak_of_traced_bytes"},
                                                      {"allocated_bytes", "allocated"},
                                                      {"reserved_bytes", "total_size"},
                                                      {"segments", "segments"},
                                                      {"memory_events", "entries"}};
  for (const auto& [ours, theirs] : same)
    EXPECT_EQ(found.counts.at(ours), expected[theirs].get<std::int64_t>()) << ours;
  EXPECT_EQ(rows_of(profile, "SELECT count(*), max(live_bytes) FROM memory"),
            std::to_string(expected["entries"].get<int>() + 1) + "|" +
                std::to_string(expected["peak_of_traced_bytes"].get<std::int64_t>() +
                               expected["allocated"].get<std::int64_t>()) +
                "\n");
  EXPECT_EQ(rows_of(profile, "SELECT count FROM loss WHERE what = 'blocks'"),
            std::to_string(expected["blocks"].get<int>()) + "\n");
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM slice"),
            std::to_string(expected["external_annotations"].get<int>() / 2) + "\n");
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM diagnostic"), "0\n");
}

}  // namespace
}  // namespace shardscope
