// shardscope render: a view of the window as a picture, without the window.

#include "cli/command.h"

#ifdef SHARDSCOPE_HAS_QT

#include <QByteArray>
#include <QGuiApplication>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "gui/models/compare_load.h"
#include "gui/models/compare_picture.h"
#include "gui/models/memory_picture.h"
#include "gui/models/other_run.h"
#include "gui/models/pair_load.h"
#include "gui/models/plan_picture.h"
#include "gui/models/run_summary.h"
#include "gui/models/scratch_folder.h"
#include "gui/models/stages.h"
#include "gui/models/timeline_picture.h"
#include "gui/paint/paint_picture.h"
#include "profiler/query/list_runs.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, view = "timeline", run, state, size = "1600x900", out;
  double scale = 1;
  bool dark = false;
};

struct Size {
  int width, height;
};

constexpr int kSmallest = 200, kLargest = 16384;

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::kConfig, "render: " + why); }

Size parse_size(const std::string& text) {
  Size size{};
  const char* end = text.data() + text.size();
  const auto width = std::from_chars(text.data(), end, size.width);
  const bool cross = width.ec == std::errc() && width.ptr != end && *width.ptr == 'x';
  const auto height = cross ? std::from_chars(width.ptr + 1, end, size.height) : width;
  const auto fits = [](int n) { return n >= kSmallest && n <= kLargest; };
  if (!cross || height.ec != std::errc() || height.ptr != end || !fits(size.width) || !fits(size.height)) {
    refuse("--size is '" + text + "'; it must be WIDTHxHEIGHT in pixels, each from " + std::to_string(kSmallest) +
           " to " + std::to_string(kLargest) + ", as 1600x900");
  }
  return size;
}

bool ends_with(const std::string& path, const char* suffix) { return path.ends_with(suffix); }

/// What every view is drawn with.
struct Canvas {
  std::string state, state_name;  ///< JSON, empty: as it opens; and the file's name, for messages
  bool dark;
  double width, height;
  gui::TextWidth measure;
};

/// What a view of a run is drawn from.
struct Input : Canvas {
  const Profile& profile;
  const RunRow& run;
};

gui::Picture draw_timeline_view(const Input& in);
gui::Picture draw_memory_view(const Input& in);
gui::Picture draw_plan_view(const Canvas& in);
gui::Picture draw_waterfall_view(const Input& in);
gui::Picture draw_scatter_view(const Input& in);
gui::Picture draw_compare_view(const Input& in);

struct DrawableView {
  const char *id, *shows;
  gui::Picture (*draw)(const Input&);
  gui::Picture (*draw_alone)(const Canvas&) = nullptr;  ///< instead, of a view that needs no profile
};

/// One row per view.
constexpr DrawableView kViews[] = {
    {"timeline", "lanes of every rank over time", draw_timeline_view},
    {"memory", "live memory of every rank over time, and its peaks", draw_memory_view},
    {"plan", "cost against days of what could be trained on; needs no profile", nullptr, draw_plan_view},
    {"compare", "two runs step by step, or ZeRO stages side by side", draw_compare_view},
    {"waterfall", "why its steps take longer than predicted, or than another run's", draw_waterfall_view},
    {"scatter", "predicted against measured time of each op", draw_scatter_view},
};

/// "timeline (lanes of every rank over time), memory (...)".
std::string views_text() {
  std::string text;
  for (const DrawableView& view : kViews)
    text += (text.empty() ? "" : ", ") + std::string(view.id) + " (" + view.shows + ")";
  return text;
}

const DrawableView& find_view(const std::string& id) {
  for (const DrawableView& view : kViews) {
    if (id == view.id) return view;
  }
  refuse("there is no view '" + id + "'; there is " + views_text());
}

void check(const Options& o) {
  const bool alone = find_view(o.view).draw_alone != nullptr;
  if (!alone && o.path.empty()) refuse("--view " + o.view + " is drawn of a profile; which? render RUN.db");
  if (alone && !o.path.empty()) refuse("--view " + o.view + " is drawn without a profile; leave out " + o.path);
  if (!ends_with(o.out, ".png") && !ends_with(o.out, ".svg") && !ends_with(o.out, ".pdf"))
    refuse("-o is '" + o.out + "'; its name must end with .png, .svg or .pdf");
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) throw Error(ErrorKind::kConfig, path + ": cannot be read");
  return text.str();
}

gui::TimelineTitle title_of(const RunRow& run) { return {run.name, gui::describe(run), run.predicted}; }

void write(const gui::Picture& picture, const Options& o) {
  bool good = true;
  if (ends_with(o.out, ".pdf")) {
    gui::write_pdf(picture, o.out);
  } else if (ends_with(o.out, ".svg")) {
    std::ofstream file(o.out, std::ios::binary);
    good = static_cast<bool>(file << gui::to_svg(picture) << std::flush);
  } else {
    good = gui::paint_image(picture, o.scale).save(QString::fromStdString(o.out));
  }
  if (!good) throw Error(ErrorKind::kIo, o.out + ": cannot be written");
}

gui::Picture draw_timeline_view(const Input& in) {
  gui::TimelineState state;
  if (!in.state.empty()) state = gui::parse_timeline_state(in.state, in.state_name);
  if (in.dark) state.dark = true;
  const Timeline timeline(in.profile, in.run.id);
  const auto draw = [&](const gui::PredictedRun* predicted) {
    return gui::draw_timeline(timeline, in.profile, in.run.id, title_of(in.run), state, in.width, in.height, in.measure,
                              predicted);
  };
  const auto prediction = state.prediction ? gui::find_prediction(list_runs(in.profile), in.run) : std::nullopt;
  if (!prediction || in.run.steps == 0 || prediction->steps == 0) return draw(nullptr);
  RunAlignment alignment;
  try {
    alignment = align_runs(in.profile, in.run.id, in.profile, prediction->id);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kConfig) throw;
    return draw(nullptr);  // a prediction of other ranks
  }
  const Timeline predicted(in.profile, prediction->id);
  const gui::PredictedRun beside{predicted, alignment};
  return draw(&beside);
}

gui::Picture draw_waterfall_view(const Input& in) {
  gui::WaterfallState state;
  if (!in.state.empty()) state = gui::parse_waterfall_state(in.state, in.state_name);
  const RunRow base = gui::other_run(in.profile, in.run, state.against);
  const gui::Waterfall waterfall = gui::load_waterfall({in.profile, in.run}, {in.profile, base}, state);
  return gui::draw_waterfall(waterfall, in.dark || state.dark, in.width, in.height, in.measure);
}

gui::Picture draw_scatter_view(const Input& in) {
  gui::ScatterState state;
  if (!in.state.empty()) state = gui::parse_scatter_state(in.state, in.state_name);
  if (in.dark) state.dark = true;
  const RunRow prediction = gui::prediction_of(in.profile, in.run);
  return gui::draw_scatter(gui::load_scatter({in.profile, in.run}, {in.profile, prediction}), state, in.width,
                           in.height, in.measure);
}

/// Unlike a waterfall, which asks why a run is not as predicted, beside the next measured run if there is one.
RunRow run_beside(const Input& in, const std::string& asked) {
  if (!asked.empty()) return gui::other_run(in.profile, in.run, asked);
  const auto next = gui::next_measured(list_runs(in.profile), in.run);
  return next ? *next : gui::other_run(in.profile, in.run, "");
}

gui::Picture draw_stages_view(const Input& in, const gui::CompareState& state) {
  const int rank = std::max(0, state.rank), pixels = gui::stage_lane_pixels(in.width);
  gui::StagesData data;
  if (state.mode == gui::CompareMode::kPredicted) {
    const gui::ScratchFolder folder;
    data = gui::predict_and_load({in.profile, in.run}, folder.file("stages.db"), rank, pixels);
  } else {
    const std::vector<RunRow> rows = gui::runs_to_show(list_runs(in.profile));
    std::vector<gui::RunIn> runs;
    for (const RunRow& row : rows) runs.push_back({in.profile, row});
    data = gui::load_stages(runs, rank, pixels);
  }
  return gui::draw_stages(data, state.dark, in.width, in.height, in.measure);
}

gui::Picture draw_compare_view(const Input& in) {
  gui::CompareScene scene;
  if (!in.state.empty()) scene.state = gui::parse_compare_state(in.state, in.state_name);
  if (in.dark) scene.state.dark = true;
  if (scene.state.mode != gui::CompareMode::kPair) return draw_stages_view(in, scene.state);
  const RunRow other = run_beside(in, scene.state.against);
  const gui::RunIn a{in.profile, in.run}, b{in.profile, other};
  const Timeline in_a(in.profile, in.run.id), in_b(in.profile, other.id);
  scene.facts = std::make_shared<gui::PairFacts>(gui::load_pair(a, b, in_a, in_b, scene.state));
  // Once for the names of the lanes, which the frame leaves room for, and once for its width.
  const auto read = [&](double pixels) {
    scene.lanes = std::make_shared<gui::PairLanes>(
        gui::load_lanes(in_a, in_b, *scene.facts, scene.state.window, static_cast<int>(pixels)));
  };
  read(1);
  read(gui::frame_of(scene, in.width, in.height, in.measure, gui::CompareParts::kAll).width);
  scene.histogram = std::make_shared<gui::DurationHistogram>(gui::load_histogram(a, b, *scene.facts, scene.state));
  return gui::draw_compare(scene, in.width, in.height, in.measure, gui::CompareParts::kAll);
}

gui::Picture draw_memory_view(const Input& in) {
  gui::MemoryState state;
  if (!in.state.empty()) state = gui::parse_memory_state(in.state, in.state_name);
  if (in.dark) state.dark = true;
  const MemoryTimeline memory(in.profile, load_memory_facts(in.profile, in.run.id));
  std::optional<MemoryTimeline> predicted;
  if (const auto other = gui::find_prediction(list_runs(in.profile), in.run))
    predicted.emplace(in.profile, load_memory_facts(in.profile, other->id));
  const gui::MemoryFrame frame =
      gui::memory_frame(memory.facts().of(state.space).size(), state.ranks, in.width, in.height);
  const gui::MemoryData data = gui::load_memory_data(memory, predicted ? &*predicted : nullptr, state, frame);
  return gui::draw_memory(data, title_of(in.run), state, in.width, in.height, in.measure);
}

gui::Picture draw_plan_view(const Canvas& in) {
  gui::PlanState state;
  if (!in.state.empty()) state = gui::parse_plan_state(in.state, in.state_name);
  if (in.dark) state.dark = true;
  return gui::draw_plan(state, in.width, in.height, in.measure);
}

gui::Picture draw(const Options& o, Canvas canvas) {
  const DrawableView& view = find_view(o.view);
  if (view.draw_alone != nullptr) return view.draw_alone(canvas);
  const Profile profile(o.path);
  const RunRow run = find_run_or_first(profile, o.run);
  return view.draw({std::move(canvas), profile, run});
}

void run(const Options& o) {
  check(o);
  const Size size = parse_size(o.size);
  const std::string state = o.state.empty() ? "" : read_file(o.state);
  // Fonts want an application object; no display is asked for.
  qputenv("QT_QPA_PLATFORM", "offscreen");
  qInstallMessageHandler([](QtMsgType, const QMessageLogContext&, const QString&) {});  // what matters, we say
  char name[] = "shardscope";
  char* arguments[] = {name, nullptr};
  int count = 1;
  const QGuiApplication application(count, arguments);
  write(draw(o, {state, o.state, o.dark, 1.0 * size.width, 1.0 * size.height, gui::text_width()}), o);
}

}  // namespace

void add_render(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("render", "Draw a view of a profile into a file: PNG, SVG or PDF.");
  command->add_option("profile", options->path, "The profile; --view plan has none")->type_name("RUN.db");
  command->add_option("--view", options->view, "What to draw: " + views_text())->capture_default_str();
  command->add_option("--run", options->run, "Name or number of the run; the first measured one if not given");
  command->add_option("--state", options->state, "What is shown: window, ranks, selection (JSON)")->type_name("FILE");
  command->add_option("--size", options->size, "In pixels")->capture_default_str()->type_name("WxH");
  command->add_option("--scale", options->scale, "Pixels of a PNG per pixel of --size")
      ->check(in_range(0.5, 4.0))
      ->capture_default_str();
  command->add_flag("--dark", options->dark, "Light on dark");
  command->add_option("-o,--out", options->out, "Where to: its ending says the format")->required()->type_name("FILE");
  command->footer(
      "Examples:\n"
      "  shardscope render run.db -o run.png\n"
      "  shardscope render run.db --run 2 --size 2400x1200 --dark -o predicted.svg\n"
      "  echo '{\"window_ns\": [0, 20000000], \"expanded\": [0, 3], \"pinned\": [3]}' >s.json\n"
      "  shardscope render run.db --view timeline --state s.json -o start.pdf\n"
      "  shardscope render --view plan --state scenario.json -o plan.png\n"
      "  shardscope render run.db --view memory --dark -o memory.png\n"
      "  shardscope render run.db --view waterfall --run zero-2 -o why.png      against its prediction\n"
      "  echo '{\"mode\": \"predicted stages\"}' >s.json\n"
      "  shardscope render run.db --view compare --run zero-2 --state s.json -o stages.png\n"
      "The keys of a state are in docs/timeline.md, docs/memory_view.md, docs/compare.md and docs/plan_view.md.");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli

#else

namespace shardscope::cli {

void add_render(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("render", "Draw a view of a profile (left out: built without Qt 6).");
  command->allow_extras();
  command->callback([&exit_code] {
    exit_code = kBadInput;
    throw Error(ErrorKind::kConfig, "render: this shardscope was built without Qt 6 (package qt6-base-dev)");
  });
}

}  // namespace shardscope::cli

#endif
