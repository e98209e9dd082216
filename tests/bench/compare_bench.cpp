// What do two long runs cost side by side? Two runs of ten million slices (256 ranks, 4 lanes) are recorded, then:
// aligned by step, ops compared, one rank's lanes read and drawn, causes of one rank's steps, of all. CPU time, one
// thread. First argument: slices of each run, in millions.

#include <fmt/format.h>

#include <QByteArray>
#include <QGuiApplication>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "core/check.h"
#include "gui/models/compare_load.h"
#include "gui/models/compare_picture.h"
#include "gui/models/waterfall.h"
#include "gui/paint/paint_picture.h"
#include "profiler/store/profile_writer.h"

namespace shardscope {
namespace {

constexpr int kRanks = 256, kLanesUsed = 4, kLayers = 24;
constexpr Lane kLanesOf[] = {Lane::kCompute, Lane::kGather, Lane::kReduce, Lane::kH2D};

Program some_program() {
  Program p;
  p.world = kRanks;
  p.groups.push_back({"dp", {}, 0});
  for (int r = 0; r < kRanks; ++r) p.groups[0].ranks.push_back(r);
  const Region a = p.whole(p.add_buffer({"a", DType::kF32, 1024, Category::kParameter}));
  const Region full = p.whole(p.add_buffer({"full", DType::kF32, 1024 * kRanks, Category::kBucket}));
  for (int layer = 0; layer < kLayers; ++layer) {
    const auto name = p.intern("h." + std::to_string(layer));
    const auto add = [&](const Op& op, Lane lane, Phase phase) {
      p.instructions.push_back({op, lane, {phase, layer, 0, name}, {}});
    };
    add(MatMul{a, a, {}, a, 32, 32, 32}, Lane::kCompute, Phase::kForward);
    add(AllGather{GroupId{0}, a, full}, Lane::kGather, Phase::kForward);
    add(ReduceScatter{GroupId{0}, full, a}, Lane::kReduce, Phase::kBackward);
    add(Copy{a, a}, Lane::kH2D, Phase::kForward);
  }
  return p;
}

/// Every layer once a step, in turn; `pace` makes one run slower than the other.
void record(const std::string& path, const std::string& name, int steps, std::int64_t pace) {
  RunInfo info;
  info.name = name;
  info.predicted = true;  // such a writer waits for the disk rather than drop
  info.world = kRanks;
  info.job_json = "{}";
  ProfileWriter writer(path, info);
  for (int rank = 0; rank < kRanks; ++rank) {
    RankTrace* trace = writer.open_rank(rank, some_program());
    const std::int64_t step_ns = kLayers * pace * 10;
    for (int step = 0; step < steps; ++step) {
      for (int layer = 0; layer < kLayers; ++layer) {
        const std::int64_t at = step * step_ns + layer * pace * 10 + (rank * 37 + layer * 11 + step) % 500;
        for (int lane = 0; lane < kLanesUsed; ++lane)
          trace->slice({OpId{layer * kLanesUsed + lane}, step, kLanesOf[lane], at + lane * pace, pace * (6 - lane),
                        lane == 1 || lane == 2 ? pace : 0});
      }
      trace->step({step, step * step_ns, step_ns, 0, 0, 0});
    }
    trace->finish({}, 0);
  }
  writer.finish();
  SS_CHECK(writer.problem().empty(), writer.problem());
}

/// Prints wall and CPU ms of f, and gives its result.
template <class F>
auto timed(const char* what, F&& f) {
  const auto wall = std::chrono::steady_clock::now();
  const std::clock_t cpu = std::clock();
  auto result = f();
  const double wall_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - wall).count();
  fmt::print("{:44} {:10.1f} {:10.1f}\n", what, wall_ms,
             static_cast<double>(std::clock() - cpu) * 1e3 / CLOCKS_PER_SEC);
  std::fflush(stdout);
  return result;
}

void bench(double millions) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "shardscope_compare_bench.db";
  std::filesystem::remove(path);
  const int steps = std::max(3, static_cast<int>(millions * 1e6 / (kRanks * kLanesUsed * kLayers)));
  fmt::print("{:44} {:>10} {:>10}\n", fmt::format("2 runs, {} ranks, {} steps", kRanks, steps), "wall ms", "CPU ms");
  timed("recorded", [&] {
    record(path.string(), "a", steps, 1000);
    record(path.string(), "b", steps, 1100);
    return 0;
  });
  {
    const Profile profile(path.string());
    const std::vector<RunRow> runs = list_runs(profile);
    const gui::RunIn a{profile, runs[0]}, b{profile, runs[1]};
    const RunAlignment alignment = timed("aligned by step", [&] { return align_runs(profile, 1, profile, 2); });
    SS_CHECK(alignment.steps.size() == static_cast<std::size_t>(steps), alignment.steps.size());
    const auto ops = timed("delta table", [&] { return op_differences(profile, 1, profile, 2); });
    SS_CHECK(ops.size() == kLanesUsed * kLayers, ops.size());
    const Timeline in_a(profile, 1), in_b(profile, 2);
    auto facts = std::make_shared<gui::PairFacts>(
        timed("all facts of the view", [&] { return gui::load_pair(a, b, in_a, in_b, {}); }));
    gui::CompareScene scene;
    scene.facts = facts;
    for (const std::int64_t part : {1, 16, 256}) {
      const TimeWindow window{0, gui::axis_of(*facts).length() / part};
      scene.state.window = window;
      scene.lanes =
          std::make_shared<gui::PairLanes>(timed(fmt::format("lanes of a rank, 1/{} of the runs", part).c_str(),
                                                 [&] { return gui::load_lanes(in_a, in_b, *facts, window, 1700); }));
      const gui::Picture picture = timed("  drawn", [&] {
        return gui::draw_compare(scene, 1920, 1080, gui::text_width(), gui::CompareParts::kLanes);
      });
      timed("  painted", [&] { return gui::paint_image(picture, 1); });
    }
    timed("durations of an op", [&] { return gui::load_histogram(a, b, *facts, {}); });
    timed("causes, one rank", [&] { return step_difference(profile, 1, profile, 2, alignment, {.rank = 3}); });
    timed("causes, all ranks", [&] { return step_difference(profile, 1, profile, 2, alignment); });
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  qputenv("QT_QPA_PLATFORM", "offscreen");
  const QGuiApplication application(argc, argv);
  shardscope::bench(argc > 1 ? std::atof(argv[1]) : 10);
}
