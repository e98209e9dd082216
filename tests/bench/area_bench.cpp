// What do the sums of an area cost? A profile of 10 million slices (arguments: another number; ranks; or a file that is
// there) is asked for most of the run, for a hundredth and for a step, by class of work: CPU time of one thread, the
// median of repeated questions, and how much of it is spent on reading the chunks alone.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <vector>

#include "core/check.h"
#include "profiler/query/area_summary.h"
#include "tests/bench/big_profile.h"

namespace shardscope {
namespace {

constexpr int kTimes = 7;

double thread_cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

template <class F>
void timed(const char* what, F&& does) {
  std::vector<double> times;
  for (int i = 0; i < kTimes; ++i) {
    const double before = thread_cpu_ms();
    does();
    times.push_back(thread_cpu_ms() - before);
  }
  std::sort(times.begin(), times.end());
  fmt::print("{:36} {:8.1f} ms of CPU (least {:.1f})\n", what, times[kTimes / 2], times.front());
}

std::int64_t read_chunks(const Profile& profile) {
  std::int64_t bytes = 0;
  Rows rows = profile.rows("SELECT track, start_ns, data FROM slice_chunk ORDER BY track, start_ns");
  while (rows.next()) bytes += static_cast<std::int64_t>(rows.bytes(2).size());
  return bytes;
}

void ask(const std::string& path) {
  const Profile profile(path);
  const Timeline timeline(profile, 1);
  const TimeWindow e = timeline.extent();
  const TimeWindow most{e.begin_ns + e.length() / 7, e.end_ns - e.length() / 9};
  const TimeWindow some{most.begin_ns, most.begin_ns + e.length() / 100};
  const TimeWindow step{most.begin_ns, most.begin_ns + kBigOpsPerStep * kBigOpNs};
  const int last = timeline.tracks().back().rank;
  std::int64_t bytes = 0;
  timed("all chunks read, none unpacked", [&] { bytes = read_chunks(profile); });
  fmt::print("{:36} {:8.1f} MB, {} lanes\n", "", static_cast<double>(bytes) * 1e-6, timeline.tracks().size());
  timed("area of most of it, by class", [&] { area_summary(timeline, most, {0, last}); });
  timed("area of 1/100, by class", [&] { area_summary(timeline, some, {0, last}); });
  timed("area of a step, by class", [&] { area_summary(timeline, step, {0, last}); });
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  if (argc > 1 && fs::exists(argv[1])) {
    shardscope::ask(argv[1]);
    return 0;
  }
  shardscope::BigProfile size{1024, 10'000'000};
  if (argc > 1) size.slices = std::atoll(argv[1]);
  if (argc > 2) size.ranks = std::atoi(argv[2]);
  const fs::path folder = fs::temp_directory_path() / fmt::format("shardscope_area_bench.{}", getpid());
  fs::create_directory(folder);
  const std::string path = (folder / "big.db").string();
  fmt::print("{} slices, {} ranks, ", shardscope::record_big_profile(path, size), size.ranks);
  fmt::print("{:.1f} MB\n", static_cast<double>(fs::file_size(path)) * 1e-6);
  shardscope::ask(path);
  fs::remove_all(folder);
}
