// What does a frame of the timeline cost? A profile of a million slices (64 ranks, 4 lanes) is made, then looked at
// whole, 1/16, 1/256 and 1/4096 of it: time of the query and layout, of painting, and shapes per second. CPU time, one
// thread.

#include <fmt/format.h>

#include <QByteArray>
#include <QGuiApplication>
#include <ctime>
#include <filesystem>

#include "core/check.h"
#include "gui/models/timeline_picture.h"
#include "gui/paint/paint_picture.h"
#include "tests/bench/big_profile.h"

namespace shardscope {
namespace {

constexpr int kRanks = 64;

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void look(const Timeline& timeline, const Profile& profile, const char* what, std::int64_t part, bool lanes,
          const gui::TextWidth& measure) {
  constexpr int kFrames = 10;
  const TimeWindow extent = timeline.extent();
  gui::TimelineState state;
  state.expanded.emplace();
  for (int rank = 0; lanes && rank < kRanks; ++rank) state.expanded->push_back(rank);
  const std::int64_t length = extent.length() / part;
  double drawing = 0, painting = 0;
  std::size_t shapes = 0;
  for (int frame = 0; frame < kFrames; ++frame) {
    const std::int64_t begin = extent.begin_ns + (extent.length() - length) * frame / kFrames;
    state.window = {begin, begin + length};
    const double start = cpu_seconds();
    const gui::Picture picture =
        gui::draw_timeline(timeline, profile, 1, {"bench", "", true}, state, 1920, 1080, measure);
    const double drawn = cpu_seconds();
    const QImage image = gui::paint_image(picture, 1);
    painting += cpu_seconds() - drawn;
    drawing += drawn - start;
    shapes += picture.shapes.size();
    SS_CHECK(image.width() == 1920, image.width());
  }
  fmt::print("{:24} {:9.2f} ms {:9.2f} ms {:10} {:8.1f} M/s\n", what, drawing / kFrames * 1e3, painting / kFrames * 1e3,
             shapes / kFrames, static_cast<double>(shapes) / painting * 1e-6);
}

void bench() {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "shardscope_timeline_bench.db";
  std::filesystem::remove(path);
  const double start = cpu_seconds();
  const std::int64_t slices = record_big_profile(path.string(), {kRanks, 1'000'000});
  fmt::print("{} slices recorded in {:.2f} s, {:.1f} MB\n", slices, cpu_seconds() - start,
             static_cast<double>(std::filesystem::file_size(path)) * 1e-6);
  {
    const Profile profile(path.string());
    const double opening = cpu_seconds();
    const Timeline timeline(profile, 1);
    const gui::TextWidth measure = gui::text_width();
    fmt::print("opened in {:.1f} ms\n{:24} {:>12} {:>12} {:>10} {:>12}\n", (cpu_seconds() - opening) * 1e3, "1920x1080",
               "query, draw", "paint", "shapes", "painted");
    for (const bool lanes : {false, true}) {
      const std::string rows = lanes ? "lanes, " : "64 ranks, ";
      look(timeline, profile, (rows + "whole").c_str(), 1, lanes, measure);
      look(timeline, profile, (rows + "1/16").c_str(), 16, lanes, measure);
      look(timeline, profile, (rows + "1/256").c_str(), 256, lanes, measure);
      look(timeline, profile, (rows + "1/4096").c_str(), 4096, lanes, measure);
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  qputenv("QT_QPA_PLATFORM", "offscreen");
  const QGuiApplication application(argc, argv);
  shardscope::bench();
}
