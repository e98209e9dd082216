#include "gui/views/compare/compare_view.h"

#include <QComboBox>
#include <QLabel>
#include <QSignalBlocker>
#include <QSplitter>
#include <QTableView>
#include <cmath>
#include <utility>

#include "gui/models/compare_load.h"
#include "gui/models/scratch_folder.h"
#include "gui/models/timeline_colours.h"
#include "gui/models/waterfall.h"
#include "gui/paint/paint_picture.h"

namespace shardscope::gui {
namespace {

constexpr double kZoomStep = 0.8, kPanStep = 0.15;
constexpr const char* kNothingOpen = "No run is open: open a profile with Ctrl+O, or drop one here.";

QString title_of(const RunSummary& run) {
  return QString::fromStdString(display_name(run)) + (run.run.predicted ? QStringLiteral(" (predicted)") : QString());
}

/// A run that goes on is another one after each look.
std::string name_of_pair(const RunSummary* a, const RunSummary* b) {
  std::string name;
  for (const RunSummary* run : {a, b}) {
    if (run != nullptr)
      name += run->file + ' ' + std::to_string(run->run.id) + ' ' + std::to_string(run->run.steps) + '\n';
  }
  return name;
}

}  // namespace

CompareView::CompareView(ViewContext& context, QWidget* parent) : PairView(context, parent) {
  build_bar();
  build_canvas();
  build_table();
  build_commands();
  shown_.problem = kNothingOpen;
  show_session(nullptr);
}

void CompareView::build_bar() {
  mode_ = new QComboBox;
  mode_->setAccessibleName(QStringLiteral("What is compared"));
  mode_->addItems({QStringLiteral("two runs, step by step"), QStringLiteral("the open runs side by side"),
                   QStringLiteral("ZeRO stages of A, predicted")});
  other_ = new QComboBox;
  other_->setAccessibleName(QStringLiteral("Run B"));
  other_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
  rank_ = new QComboBox;
  rank_->setAccessibleName(QStringLiteral("Rank"));
  for (const auto& [text, widget] :
       {std::pair<const char*, QWidget*>{" Show ", mode_}, {"  B ", other_}, {"  rank ", rank_}}) {
    bar_->addWidget(new QLabel(QString::fromLatin1(text)));
    bar_->addWidget(widget);
  }
  connect(mode_, &QComboBox::activated, this, [this](int index) {
    change([index](CompareState& s) { s.mode = static_cast<CompareMode>(index); }, "mode");
    ask_if_seen();
  });
  connect(other_, &QComboBox::activated, this, [this](int index) {
    if (!session_ || index < 0) return;
    Session other = *session_;
    other.b = static_cast<std::size_t>(other_->itemData(index).toULongLong());
    context_.set_session(other);
  });
  connect(rank_, &QComboBox::activated, this, [this](int index) {
    change([&](CompareState& s) { s.rank = rank_->itemText(index).toInt(); }, "rank");
    ask_if_seen();
  });
}

void CompareView::build_canvas() {
  canvas_->setAccessibleName(QStringLiteral("Runs beside each other"));
  canvas_->set_draw([this](double width, double height) {
    return is_pair() ? draw_compare(scene(), width, height, text_width(), CompareParts::kLanes)
                     : draw_stages(*stages_, dark_, width, height, text_width());
  });
  canvas_->set_describe([this](QPointF at) {
    return QString::fromStdString(
        is_pair() ? describe_at(scene(), frame(), at.x(), at.y())
                  : describe_stage_at(*stages_, canvas_->width(), canvas_->height(), text_width(), at.x(), at.y()));
  });
  stages_ = std::make_shared<StagesData>();
  connect(canvas_, &PictureCanvas::resized, this, [this] {
    if (shown_.facts && is_pair()) ask_lanes();
  });
  connect(canvas_, &PictureCanvas::hovered, this, [this](QPointF at) {
    const CompareFrame f = frame();
    const bool inside = is_pair() && shown_.facts && at.x() >= f.left && at.x() < f.left + f.width;
    canvas_->set_hair(inside ? std::optional(at.x()) : std::nullopt, f.top, f.bottom);
  });
  connect(canvas_, &PictureCanvas::clicked, this, [this](QPointF at) {
    const CompareFrame f = frame();
    if (!is_pair() || !shown_.facts || at.x() < f.left) return;
    change([&](CompareState& s) { s.cursor_ns = time_at(at.x() - f.left, window(), f.width); }, "cursor");
    const std::size_t step = step_on_axis(*shown_.facts, state_.cursor_ns);
    context_.selection.set_step(static_cast<int>(shown_.facts->alignment.steps[step].a_step));  // other views follow
  });
  connect(canvas_, &PictureCanvas::double_clicked, this, [this](QPointF at) {
    const CompareFrame f = frame();
    if (!is_pair() || !shown_.facts || at.x() < f.left) return;
    const std::size_t step = step_on_axis(*shown_.facts, time_at(at.x() - f.left, window(), f.width));
    look_at({shown_.facts->at_ns[step], shown_.facts->at_ns[step + 1]}, "step");
  });
  connect(canvas_, &PictureCanvas::wheeled, this, [this](QPointF at, int steps, Qt::KeyboardModifiers keys) {
    const double turns = steps / 120.0;
    if (!is_pair() || !shown_.facts) return;
    if (keys.testFlag(Qt::ControlModifier)) zoom_by(std::pow(kZoomStep, turns), at.x(), "wheel zoom");
    if (keys.testFlag(Qt::ShiftModifier))
      look_at(pan(window(), axis_of(*shown_.facts), -turns * kPanStep), "wheel pan");
  });
  connect(canvas_, &PictureCanvas::dragged, this,
          [this](QPointF from, QPointF to, Qt::KeyboardModifiers keys, bool middle, bool ended) {
            drag(from, to, middle || keys.testFlag(Qt::ShiftModifier), ended);
          });
}

/// A drag chooses a stretch to look at; with Shift, or the middle button, it moves the picture.
void CompareView::drag(QPointF from, QPointF to, bool pans, bool ended) {
  if (!is_pair() || !shown_.facts) return;
  const CompareFrame f = frame();
  if (!drag_from_) drag_from_ = window();
  const TimeWindow start = *drag_from_;
  if (ended) drag_from_.reset();
  if (pans) return look_at(pan(start, axis_of(*shown_.facts), (from.x() - to.x()) / f.width), "drag");
  const double left = std::clamp(std::min(from.x(), to.x()), f.left, f.left + f.width),
               right = std::clamp(std::max(from.x(), to.x()), f.left, f.left + f.width);
  canvas_->set_stretch(ended ? std::nullopt : std::optional(std::pair(left, right)), f.top, f.bottom);
  if (!ended || right - left < 2) return;
  look_at({time_at(left - f.left, start, f.width), time_at(right - f.left, start, f.width)}, "stretch");
}

void CompareView::build_table() {
  auto* below = new QSplitter(Qt::Horizontal);
  rows_ = make_table(QStringLiteral("Ops that differ"));
  below->addWidget(rows_);
  durations_ = new PictureCanvas;
  durations_->setObjectName(QStringLiteral("durations"));
  durations_->setAccessibleName(QStringLiteral("How long the chosen op takes in both runs"));
  durations_->set_draw([this](double width, double height) {
    Picture picture(width, height, shades_of(dark_).ground);
    if (shown_.histogram)
      draw_histogram(picture, *shown_.histogram, {12, 6, width - 24, height - 8}, dark_, text_width());
    return picture;
  });
  below->addWidget(durations_);
  below->setSizes({560, 440});
  splitter_->addWidget(below);
  splitter_->setSizes({560, 440});
  connect(rows_->selectionModel(), &QItemSelectionModel::currentRowChanged, this, &CompareView::choose_row);
}

void CompareView::build_commands() {
  const auto seen = [this](const std::function<void()>& run) {
    return [this, run] {
      if (is_pair() && shown_.facts) run();
    };
  };
  const auto move = [this](double part) {
    return [this, part] { look_at(pan(window(), axis_of(*shown_.facts), part), "pan"); };
  };
  add_command(QStringLiteral("Zoom in"), {Qt::Key_W, Qt::Key_Up, Qt::Key_I, Qt::Key_Plus, Qt::Key_Equal},
              seen([this] { zoom_by(kZoomStep, std::nullopt, "zoom"); }));
  add_command(QStringLiteral("Zoom out"), {Qt::Key_S, Qt::Key_Down, Qt::Key_K, Qt::Key_Minus},
              seen([this] { zoom_by(1 / kZoomStep, std::nullopt, "zoom"); }));
  add_command(QStringLiteral("Earlier"), {Qt::Key_A, Qt::Key_Left, Qt::Key_J}, seen(move(-kPanStep)));
  add_command(QStringLiteral("Later"), {Qt::Key_D, Qt::Key_Right, Qt::Key_L}, seen(move(kPanStep)));
  add_command(QStringLiteral("All steps"), {Qt::Key_0}, seen([this] { look_at({}, "all"); }));
  add_command(QStringLiteral("Next difference"), {Qt::Key_BracketRight}, seen([this] { go_to_difference(true); }));
  add_command(QStringLiteral("Previous difference"), {Qt::Key_BracketLeft}, seen([this] { go_to_difference(false); }));
  add_command(QStringLiteral("Two runs, open runs, or predicted stages"), {Qt::Key_M}, [this] {
    change([](CompareState& s) { s.mode = static_cast<CompareMode>((static_cast<int>(s.mode) + 1) % 3); }, "mode");
    ask_if_seen();
  });
  add_command(QStringLiteral("No cursor, no chosen op"), {Qt::Key_Escape}, [this] {
    const bool other_op = state_.op.has_value();
    change(
        [](CompareState& s) {
          s.cursor_ns = -1;
          s.op.reset();
        },
        "clear");
    if (other_op && shown_.facts) ask_histogram();
  });
}

// ---- State ----------------------------------------------------------------------------------------------------------

QJsonObject CompareView::state() const { return to_object(to_json(state_)); }

void CompareView::restore(const QJsonObject& state) {
  const CompareState read = state.isEmpty() ? CompareState{} : parse_compare_state(to_text(state), "compare");
  ask_for_b(read.against);
  state_ = read;
  state_.against = name_of_b();
  show_state();
  ask_if_seen();
}

void CompareView::change(const std::function<void(CompareState&)>& how, const char* kind) {
  const CompareState before = state_;
  how(state_);
  if (state_ == before) return;
  show_state();
  say_changed(kind);
}

void CompareView::show_state() {
  const QSignalBlocker quiet_mode(mode_), quiet_rank(rank_);
  mode_->setCurrentIndex(static_cast<int>(state_.mode));
  rank_->setCurrentText(
      QString::number(shown_.facts && state_.rank < 0 ? shown_.facts->rank : std::max(0, state_.rank)));
  other_->setEnabled(is_pair());
  durations_->setVisible(is_pair());
  canvas_->redraw();
}

void CompareView::session_changed() {
  const QSignalBlocker quiet(other_);
  other_->clear();
  for (std::size_t i = 0; session_ && i < session_->runs.size(); ++i) {
    if (session_->a == i) continue;
    other_->addItem(title_of(session_->runs[i]), QVariant::fromValue<qulonglong>(i));
    if (session_->b == i) other_->setCurrentIndex(other_->count() - 1);
  }
  state_.against = name_of_b();
  std::string pair = name_of_pair(run_a(), run_b());
  if (pair != pair_) {
    pair_ = std::move(pair);
    shown_ = {};
    shown_.problem = "Reading…";
    state_.window = {};
    state_.cursor_ns = -1;
    state_.op.reset();
    table_.set_table({});
  }
  show_state();
}

// ---- Questions ------------------------------------------------------------------------------------------------------

void CompareView::ask() { is_pair() ? ask_pair() : ask_stages(); }

void CompareView::ask_pair() {
  context_.pool.cancel(this, "stages");
  const RunSummary *a = run_a(), *b = run_b();
  if (a == nullptr) return say_problem(kNothingOpen);
  if (b == nullptr) {
    return say_problem(
        "There is one run only: open another profile beside this one, or press M twice for its stages, predicted.");
  }
  context_.pool.ask<PairFacts>(
      this, "pair",
      [a = *a, b = *b, state = state_](QueryFiles& files) {
        return load_pair({files.profile(a.file), a.run}, {files.profile(b.file), b.run},
                         files.timeline(a.file, a.run.id), files.timeline(b.file, b.run.id), state);
      },
      [this](std::shared_ptr<const PairFacts> facts) { show_facts(std::move(facts)); },
      [this](const QString& problem) { say_problem(problem.toStdString()); });
}

void CompareView::show_facts(std::shared_ptr<const PairFacts> facts) {
  shown_.facts = std::move(facts);
  shown_.problem.clear();
  table_.set_table(delta_table(shown_.facts->ops));
  {
    const QSignalBlocker quiet(rank_);
    rank_->clear();
    for (int rank : shown_.facts->alignment.ranks) rank_->addItem(QString::number(rank));
  }
  show_state();
  ask_lanes();
  ask_histogram();
}

void CompareView::ask_lanes() {
  const RunSummary *a = run_a(), *b = run_b();
  if (a == nullptr || b == nullptr || !shown_.facts) return;
  const int pixels = std::max(1, static_cast<int>(frame().width));
  context_.pool.ask<PairLanes>(
      this, "lanes",
      [a = *a, b = *b, facts = shown_.facts, window = state_.window, pixels](QueryFiles& files) {
        return load_lanes(files.timeline(a.file, a.run.id), files.timeline(b.file, b.run.id), *facts, window, pixels);
      },
      [this](std::shared_ptr<const PairLanes> lanes) {
        const bool first = !shown_.lanes;
        shown_.lanes = std::move(lanes);
        canvas_->redraw();
        if (first) ask_lanes();  // the names of the lanes take room from their bars
      },
      [this](const QString& problem) { Q_EMIT this->problem(problem); });
}

void CompareView::ask_histogram() {
  const RunSummary *a = run_a(), *b = run_b();
  if (a == nullptr || b == nullptr || !shown_.facts) return;
  context_.pool.ask<DurationHistogram>(
      this, "histogram",
      [a = *a, b = *b, facts = shown_.facts, state = state_](QueryFiles& files) {
        return load_histogram({files.profile(a.file), a.run}, {files.profile(b.file), b.run}, *facts, state);
      },
      [this](std::shared_ptr<const DurationHistogram> histogram) {
        shown_.histogram = std::move(histogram);
        durations_->redraw();
      },
      [this](const QString& problem) { Q_EMIT this->problem(problem); });
}

void CompareView::ask_stages() {
  for (const char* question : {"pair", "lanes", "histogram"}) context_.pool.cancel(this, question);
  const RunSummary* a = run_a();
  auto reading = std::make_shared<StagesData>();
  reading->problem = a == nullptr ? kNothingOpen : state_.mode == CompareMode::kPredicted ? "Predicting…" : "Reading…";
  show_stages(std::move(reading));
  if (a == nullptr) return;
  const auto answer = [this](std::shared_ptr<const StagesData> stages) { show_stages(std::move(stages)); };
  const auto failed = [this](const QString& problem) {
    auto none = std::make_shared<StagesData>();
    none->problem = problem.toStdString();
    show_stages(std::move(none));
  };
  const int rank = std::max(0, state_.rank), pixels = stage_lane_pixels(canvas_->width());
  if (state_.mode == CompareMode::kPredicted) {
    context_.pool.ask<StagesData>(
        this, "stages",
        [a = *a, rank, pixels](QueryFiles& files) {
          const ScratchFolder folder;
          return predict_and_load({files.profile(a.file), a.run}, folder.file("stages.db"), rank, pixels,
                                  [&files] { return files.stopped(); });
        },
        answer, failed);
    return;
  }
  std::vector<RunSummary> runs;
  for (std::size_t i : shown_runs(*session_)) runs.push_back(session_->runs[i]);
  const auto predicted = [](const RunSummary& run) { return run.run.predicted; };
  // Measured ones alone, unless predictions were chosen, or are all there is.
  if (session_->chosen.empty() && !std::all_of(runs.begin(), runs.end(), predicted)) std::erase_if(runs, predicted);
  context_.pool.ask<StagesData>(
      this, "stages",
      [runs, rank, pixels](QueryFiles& files) {
        std::vector<RunIn> in;
        for (const RunSummary& run : runs) in.push_back({files.profile(run.file), run.run});
        return load_stages(in, rank, pixels);
      },
      answer, failed);
}

void CompareView::show_stages(std::shared_ptr<const StagesData> stages) {
  stages_ = std::move(stages);
  table_.set_table(stages_table(*stages_));
  canvas_->redraw();
}

void CompareView::say_problem(const std::string& problem) {
  context_.pool.cancel_all(this);
  shown_ = {};
  shown_.problem = problem;
  table_.set_table({});
  canvas_->setAccessibleDescription(QString::fromStdString(problem));
  canvas_->redraw();
  durations_->redraw();
}

// ---- Looking around -------------------------------------------------------------------------------------------------

CompareScene CompareView::scene() const {
  CompareScene scene = shown_;
  scene.state = state_;
  scene.state.dark = dark_;
  return scene;
}

CompareFrame CompareView::frame() const {
  return frame_of(scene(), canvas_->width(), canvas_->height(), text_width(), CompareParts::kLanes);
}

TimeWindow CompareView::window() const { return clamp(state_.window, axis_of(*shown_.facts)); }

void CompareView::look_at(TimeWindow window, const char* kind) {
  const TimeWindow all = axis_of(*shown_.facts), wanted = clamp(window, all);
  change([&](CompareState& s) { s.window = wanted == all ? TimeWindow{} : wanted; }, kind);
  ask_lanes();
}

void CompareView::zoom_by(double factor, std::optional<double> x, const char* kind) {
  const CompareFrame f = frame();
  const TimeWindow now = window();
  std::int64_t at = now.begin_ns + now.length() / 2;
  if (state_.cursor_ns >= now.begin_ns && state_.cursor_ns < now.end_ns) at = state_.cursor_ns;
  if (x) at = time_at(std::clamp(*x - f.left, 0.0, f.width), now, f.width);
  look_at(zoom(now, axis_of(*shown_.facts), factor, at), kind);
}

/// The op in the middle, with a few of its lengths around it.
void CompareView::go_to_difference(bool forward) {
  const TimeWindow now = window();
  const std::int64_t from = state_.cursor_ns >= 0 ? state_.cursor_ns : forward ? now.begin_ns - 1 : now.end_ns;
  const auto found = next_difference(*shown_.facts, from, forward);
  if (!found) {
    Q_EMIT problem(
        forward ? QStringLiteral("No further op differs by %1 or more.")
                      .arg(QString::fromStdString(format_seconds(1e-9 * static_cast<double>(shown_.facts->notable_ns))))
                : QStringLiteral("No earlier op differs that much."));
    return;
  }
  Q_EMIT problem({});
  constexpr std::int64_t kAround = 12;
  const std::int64_t length =
      std::min(now.length(), std::max<std::int64_t>(kShortestWindowNs, kAround * found->axis.length()));
  const std::int64_t middle = (found->axis.begin_ns + found->axis.end_ns) / 2;
  change([&](CompareState& s) { s.cursor_ns = found->axis.begin_ns; }, "difference");
  look_at({middle - length / 2, middle - length / 2 + length}, "difference");
}

void CompareView::choose_row(const QModelIndex& index) {
  if (!is_pair() || !index.isValid() || !shown_.facts) return;
  const std::string text = index.siblingAtColumn(0).data().toString().toStdString();
  for (const OpDifference& op : shown_.facts->ops) {
    if (to_string(op.label) != text || state_.op == op.label) continue;
    change([&](CompareState& s) { s.op = op.label; }, "op");
    return ask_histogram();
  }
}

Picture CompareView::picture(double width, double height) const {
  return is_pair() ? draw_compare(scene(), width, height, text_width(), CompareParts::kAll)
                   : draw_stages(*stages_, dark_, width, height, text_width());
}

}  // namespace shardscope::gui
