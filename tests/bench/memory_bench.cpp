// What does the memory view cost? Profiles of 1,024 ranks with a million changes of memory in eight categories, and of
// one rank with a million: facts, first picture (all ranks' overview, eight panels), painting; then the same without
// levels of detail, as a run under way has none. CPU time, one thread.

#include <fmt/format.h>

#include <QByteArray>
#include <QGuiApplication>
#include <ctime>
#include <filesystem>

#include "core/check.h"
#include "gui/models/memory_picture.h"
#include "gui/paint/paint_picture.h"
#include "profiler/store/profile_writer.h"
#include "profiler/store/sqlite.h"

namespace shardscope {
namespace {

constexpr int kCategoriesUsed = 8, kOpsPerStep = 100;
constexpr std::int64_t kMiB = 1 << 20, kLimit = 3000 * kMiB;

double cpu_ms() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC * 1e3; }

Program some_program(int ranks) {
  Program p;
  p.world = ranks;
  for (int i = 0; i < kOpsPerStep; ++i) {
    const auto category = static_cast<Category>(i % kCategoriesUsed);
    const BufferId b = p.add_buffer({"b" + std::to_string(i), DType::kI8, kMiB, category});
    p.instructions.push_back({Alloc{b}, Lane::kCompute, {Phase::kForward, i / 8, 0, p.intern("h")}, {}});
    p.instructions.push_back({Free{b}, Lane::kCompute, {Phase::kBackward, i / 8, 0, p.intern("h")}, {}});
  }
  return p;
}

void record(const std::string& path, int ranks, int changes) {
  RunInfo info;
  info.name = "bench";
  info.predicted = true;  // such a writer waits for the disk rather than drop
  info.world = ranks;
  info.device_memory_limit = kLimit;
  info.job_json = "{}";
  ProfileWriter writer(path, info);
  for (int rank = 0; rank < ranks; ++rank) {
    RankTrace* trace = writer.open_rank(rank, some_program(ranks));
    for (int i = 0; i < changes; ++i) {
      const int op = i % (2 * kOpsPerStep);
      const std::int64_t live = (op < kOpsPerStep ? op : 2 * kOpsPerStep - op) * 4 + (rank * 37 + i) % 11;
      trace->memory({OpId{op}, i / (2 * kOpsPerStep), i * 50'000LL + (rank * 7919 + i * 131) % 40'000, Space::kDevice,
                     static_cast<Category>(i % kCategoriesUsed), live * kMiB});
    }
    trace->step({0, 0, changes * 50'000LL, 0, 0, 0});
    trace->finish({}, 0);
  }
  writer.finish();
  SS_CHECK(writer.problem().empty(), writer.problem());
}

void look(const std::string& path, const char* what, const gui::TextWidth& measure) {
  const Profile profile(path);
  const double start = cpu_ms();
  const auto facts = load_memory_facts(profile, 1);
  const MemoryTimeline memory(profile, facts);
  const double known = cpu_ms();
  gui::MemoryState state;
  const gui::MemoryFrame frame = gui::memory_frame(facts->of(state.space).size(), state.ranks, 1920, 1080);
  const gui::MemoryData data = gui::load_memory_data(memory, nullptr, state, frame);
  const double read = cpu_ms();
  const gui::Picture picture = gui::draw_memory(data, {"bench", "", true}, state, 1920, 1080, measure);
  const QImage image = gui::paint_image(picture, 1);
  const double painted = cpu_ms();
  state.window = {facts->extent.end_ns / 2, facts->extent.end_ns / 2 + facts->extent.length() / 8};
  const gui::MemoryData zoomed = gui::load_memory_data(memory, nullptr, state, frame);
  const double again = cpu_ms();
  SS_CHECK(image.width() == 1920 && !zoomed.panels.empty(), zoomed.panels.size());
  fmt::print("{:34} {:8.1f} {:8.1f} {:8.1f} {:10.1f} {:12.1f}\n", what, known - start, read - known, painted - read,
             painted - start, again - painted);
}

void bench(int ranks, int changes) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "shardscope_memory_bench.db";
  std::filesystem::remove(path);
  const gui::TextWidth measure = gui::text_width();
  record(path.string(), ranks, changes);
  const std::string what = fmt::format("{} rank{} x {} changes", ranks, ranks == 1 ? "" : "s", changes);
  look(path.string(), what.c_str(), measure);
  Connection(path.string(), Connection::Mode::kReadWrite).execute("DELETE FROM memory_level");
  look(path.string(), (what + ", no levels").c_str(), measure);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  qputenv("QT_QPA_PLATFORM", "offscreen");
  const QGuiApplication application(argc, argv);
  fmt::print("{:34} {:>8} {:>8} {:>8} {:>10} {:>12}\n", "CPU ms, 1920x1080", "facts", "read", "paint", "first all",
             "1/8 of it");
  shardscope::bench(1024, 1000);
  shardscope::bench(1024, 10'000);
  shardscope::bench(1, 1'000'000);
  shardscope::bench(10'000, 100);
}
