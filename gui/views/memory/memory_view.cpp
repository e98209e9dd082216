#include "gui/views/memory/memory_view.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QJsonDocument>
#include <QLabel>
#include <QLineEdit>
#include <QSpinBox>
#include <QSplitter>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "gui/models/memory_looks.h"
#include "gui/models/memory_table.h"
#include "gui/paint/paint_picture.h"
#include "gui/views/memory/memory_canvas.h"
#include "gui/views/table_look.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {
namespace {

constexpr double kZoomStep = 0.7, kPanStep = 0.2;
constexpr const char* kNothingOpen = "Nothing is open. Open a profile (Ctrl+O) to see what its ranks hold in memory.";

TimelineTitle title_of(const RunSummary& run) {
  return {display_name(run),
          std::string(run.run.predicted ? "predicted" : "measured") + ", " + run.run.model + ", " +
              std::to_string(run.run.world) + (run.run.world == 1 ? " rank" : " ranks"),
          run.run.predicted};
}

/// Shows an entry without being told so by the box.
void show_index(QComboBox* box, int index) {
  const QSignalBlocker quiet(box);
  box->setCurrentIndex(index);
}

}  // namespace

MemoryView::MemoryView(ViewContext& context, QWidget* parent) : View(parent), context_(context) {
  build();
  build_commands();
  follow_selection();
  show_session(nullptr);
}

QWidget* MemoryView::build_controls() {
  auto* row = new QWidget;
  auto* layout = new QHBoxLayout(row);
  layout->setContentsMargins(8, 4, 8, 0);
  const auto add = [&](const char* label, QWidget* widget, const char* name, const char* tip) {
    auto* text = new QLabel(QString::fromLatin1(label));
    text->setBuddy(widget);
    widget->setObjectName(QString::fromLatin1(name));
    widget->setAccessibleName(QString::fromLatin1(tip));
    widget->setToolTip(QString::fromLatin1(tip));
    layout->addWidget(text);
    layout->addWidget(widget);
    layout->addSpacing(12);
  };
  spaces_ = new QComboBox;
  for (int space = 0; space < kSpaces; ++space)
    spaces_->addItem(QString::fromStdString(name_of(static_cast<Space>(space))));
  add("&Memory", spaces_, "space", "Which memory is shown");
  ranks_ = new QComboBox;
  ranks_->addItems({QStringLiteral("fullest 8"), QStringLiteral("all"), QStringLiteral("one")});
  add("&Ranks", ranks_, "ranks", "Which ranks are shown");
  rank_ = new QSpinBox;
  rank_->setMaximum(0);
  add("Ran&k", rank_, "rank", "The one rank that is shown");
  limit_ = new QLineEdit;
  limit_->setPlaceholderText(QStringLiteral("of the run"));
  limit_->setMaximumWidth(110);
  add("&Limit", limit_, "limit", "Limit of this memory, as 80 GiB; empty: the run's own");
  layout->addStretch(1);
  connect(spaces_, &QComboBox::currentIndexChanged, this, [this](int index) {
    MemoryState wanted = state_;
    wanted.space = static_cast<Space>(index);
    set_state(wanted, next_memory_gesture());
  });
  connect(ranks_, &QComboBox::currentIndexChanged, this, [this](int index) {
    MemoryState wanted = state_;
    wanted.ranks = static_cast<MemoryRanks>(index);
    set_state(wanted, next_memory_gesture());
  });
  connect(rank_, &QSpinBox::valueChanged, this, [this](int rank) {
    MemoryState wanted = state_;
    wanted.ranks = MemoryRanks::kOne;
    wanted.rank = rank;
    set_state(wanted, next_memory_gesture());
  });
  connect(limit_, &QLineEdit::editingFinished, this, &MemoryView::take_limit);
  return row;
}

void MemoryView::build() {
  canvas_ = new MemoryCanvas;
  connect(canvas_, &MemoryCanvas::state_asked, this, &MemoryView::set_state);
  connect(canvas_, &MemoryCanvas::resized, this, &MemoryView::ask_data);
  table_title_ = new QLabel;
  table_title_->setObjectName(QStringLiteral("table_title"));
  table_title_->setContentsMargins(8, 2, 8, 0);
  table_ = new QTableView;
  table_->setObjectName(QStringLiteral("memory_table"));
  set_table_look(*table_, QStringLiteral("Peaks of the ranks, or what is live at the cursor"), 8);
  table_->setModel(&table_model_);
  table_->setSortingEnabled(true);
  table_->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
  connect(table_, &QTableView::activated, this, [this](const QModelIndex& index) {
    if (!data_ || state_.cursor) return;
    const auto row = static_cast<std::size_t>(table_model_.original_row(index.row()));
    if (row >= data_->peaks.size()) return;
    MemoryState wanted = state_;
    wanted.ranks = MemoryRanks::kOne;
    wanted.rank = data_->peaks[row].rank;
    set_state(wanted, next_memory_gesture());
  });
  auto* below = new QWidget;
  auto* below_layout = new QVBoxLayout(below);
  below_layout->setContentsMargins(0, 0, 0, 0);
  below_layout->addWidget(table_title_);
  below_layout->addWidget(table_);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->addWidget(canvas_);
  splitter->addWidget(below);
  splitter->setStretchFactor(0, 4);
  splitter->setStretchFactor(1, 1);
  splitter->setChildrenCollapsible(false);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(build_controls());
  layout->addWidget(splitter, 1);
  setFocusProxy(canvas_);
}

void MemoryView::build_commands() {
  build_looking_around();
  build_cursor_commands();
  build_choices();
}

void MemoryView::build_looking_around() {
  const auto zoom_by = [this](double factor) {
    if (!data_) return;
    const TimeWindow w = data_->window;
    const bool inside = state_.cursor && state_.cursor->time_ns >= w.begin_ns && state_.cursor->time_ns <= w.end_ns;
    look(zoom(w, data_->extent, factor, inside ? state_.cursor->time_ns : w.begin_ns + w.length() / 2));
  };
  const auto pan_by = [this](double part) {
    if (data_) look(pan(data_->window, data_->extent, part));
  };
  add_command(QStringLiteral("Zoom in"), {Qt::Key_W, Qt::Key_I, Qt::Key_Plus, Qt::Key_Equal},
              [=] { zoom_by(kZoomStep); });
  add_command(QStringLiteral("Zoom out"), {Qt::Key_S, Qt::Key_K, Qt::Key_Minus}, [=] { zoom_by(1 / kZoomStep); });
  add_command(QStringLiteral("Earlier"), {Qt::Key_A, Qt::Key_J, Qt::Key_Left}, [=] { pan_by(-kPanStep); });
  add_command(QStringLiteral("Later"), {Qt::Key_D, Qt::Key_L, Qt::Key_Right}, [=] { pan_by(kPanStep); });
  add_command(QStringLiteral("The whole run"), {Qt::Key_0, Qt::Key_F}, [this] {
    if (data_) look(data_->extent);
  });
  add_command(QStringLiteral("Ranks further down"), {Qt::Key_PageDown}, [this] { scroll_ranks(1); });
  add_command(QStringLiteral("Ranks further up"), {Qt::Key_PageUp}, [this] { scroll_ranks(-1); });
}

void MemoryView::build_cursor_commands() {
  add_command(QStringLiteral("Next change of memory"), {Qt::Key_Period}, [this] { step_change(true); });
  add_command(QStringLiteral("Previous change of memory"), {Qt::Key_Comma}, [this] { step_change(false); });
  add_command(QStringLiteral("Cursor to the peak"), {Qt::Key_P}, [this] { go_to_mark(false); });
  add_command(QStringLiteral("Cursor to the first instant over the limit"), {Qt::Key_O}, [this] { go_to_mark(true); });
  add_command(QStringLiteral("Cursor to the rank below"), {Qt::Key_Down}, [this] { move_cursor_rank(1); });
  add_command(QStringLiteral("Cursor to the rank above"), {Qt::Key_Up}, [this] { move_cursor_rank(-1); });
  add_command(QStringLiteral("No cursor: the table has the peaks"), {Qt::Key_Escape}, [this] {
    MemoryState wanted = state_;
    wanted.cursor.reset();
    set_state(wanted, next_memory_gesture());
  });
}

void MemoryView::build_choices() {
  add_command(QStringLiteral("Next memory: device, pinned host, host, NVMe"), {Qt::Key_T},
              [this] { spaces_->setCurrentIndex((spaces_->currentIndex() + 1) % spaces_->count()); });
  add_command(QStringLiteral("Ranks: the fullest, all, one"), {Qt::Key_R}, [this] {
    MemoryState wanted = state_;
    wanted.ranks = static_cast<MemoryRanks>((static_cast<int>(state_.ranks) + 1) % 3);
    if (state_.cursor) wanted.rank = state_.cursor->rank;
    set_state(wanted, next_memory_gesture());
  });
  int number = 1;
  for (const MemoryLook& look : kMemoryLooks) {
    const QKeySequence key(Qt::ALT | static_cast<Qt::Key>(Qt::Key_0 + number++ % 10));
    add_command(QStringLiteral("Show or hide %1").arg(QLatin1String(look.name)), {key},
                [this, category = look.category] {
                  MemoryState wanted = state_;
                  if (wanted.hidden.erase(category) == 0) wanted.hidden.insert(category);
                  set_state(wanted, next_memory_gesture());
                });
  }
}

// ---- what is shared with the other views

void MemoryView::follow_selection() {
  const auto follow = [this](const std::function<void(MemoryState&)>& change) {
    if (following_) return;
    MemoryState wanted = state_;
    change(wanted);
    if (!(wanted == state_)) adopt(wanted);
  };
  connect(&context_.selection, &SharedSelection::window_changed, this,
          [follow](TimeWindow window) { follow([window](MemoryState& s) { s.window = window; }); });
  connect(&context_.selection, &SharedSelection::ranks_changed, this, [follow](const std::vector<int>& ranks) {
    follow([&](MemoryState& s) {
      if (ranks.size() == 1) {
        s.ranks = MemoryRanks::kOne;
        s.rank = ranks.front();
      } else if (s.ranks == MemoryRanks::kOne) {
        s.ranks = MemoryRanks::kWorst;
      }
    });
  });
  connect(&context_.selection, &SharedSelection::op_changed, this,
          [follow](const std::optional<TimelineSelection>& op) {
            follow([&](MemoryState& s) {
              if (op) s.cursor = MemoryCursor{op->rank, op->begin_ns};
            });
          });
}

void MemoryView::share() {
  following_ = true;  // what we say ourselves needs no answer
  context_.selection.set_window(state_.window);
  context_.selection.set_ranks(state_.ranks == MemoryRanks::kOne ? std::vector<int>{state_.rank} : std::vector<int>{});
  following_ = false;
}

// ---- reading

void MemoryView::show_session(std::shared_ptr<const Session> session) {
  session_ = std::move(session);
  const RunSummary* a = session_ ? session_->run(session_->a) : nullptr;
  const RunSummary* p = session_ ? session_->run(session_->prediction) : nullptr;
  if (a == nullptr) {
    context_.pool.cancel_all(this);
    file_.clear();
    run_ = -1;
    facts_.reset();
    data_.reset();
    canvas_->show_text(
        QString::fromLatin1(session_ && !session_->files.empty() ? "The open files hold no runs." : kNothingOpen));
    show_table();
    return;
  }
  if (p == a) p = nullptr;
  const std::string predicted_file = p != nullptr ? p->file : "";
  const std::int64_t predicted_run = p != nullptr ? p->run.id : -1;
  const bool same_run = a->file == file_ && a->run.id == run_;
  if (!same_run) state_.cursor.reset();
  if (!same_run || predicted_file != predicted_file_ || predicted_run != predicted_run_) {
    context_.pool.cancel_all(this);  // what is known is of other runs
    facts_.reset();
    data_.reset();
  }
  file_ = a->file;
  run_ = a->run.id;
  predicted_file_ = predicted_file;
  predicted_run_ = predicted_run;
  title_ = title_of(*a);
  ask_facts();
}

void MemoryView::ask_facts() {
  if (!facts_) canvas_->show_text(QStringLiteral("Reading…"));
  context_.pool.ask<Facts>(
      this, "facts",
      [file = file_, run = run_, other_file = predicted_file_, other = predicted_run_](QueryFiles& files) {
        Facts facts{load_memory_facts(files.profile(file), run), nullptr};
        if (other >= 0) facts.predicted = load_memory_facts(files.profile(other_file), other);
        return facts;
      },
      [this](std::shared_ptr<const Facts> facts) { take_facts(std::move(facts)); },
      [this](const QString& problem) { fail(problem); });
}

void MemoryView::take_facts(std::shared_ptr<const Facts> facts) {
  facts_ = std::move(facts);
  const std::vector<int> ranks = facts_->run->ranks();
  const QSignalBlocker quiet(rank_);
  rank_->setMaximum(ranks.empty() ? 0 : ranks.back());
  ask_data();
}

void MemoryView::ask_data() {
  if (!facts_) return;
  const MemoryFrame frame =
      memory_frame(facts_->run->of(state_.space).size(), state_.ranks, canvas_->width(), canvas_->height());
  context_.pool.ask<MemoryData>(
      this, "data",
      [facts = facts_, file = file_, other_file = predicted_file_, state = state_, frame](QueryFiles& files) {
        const MemoryTimeline memory(files.profile(file), facts->run);
        if (!facts->predicted) return load_memory_data(memory, nullptr, state, frame);
        const MemoryTimeline predicted(files.profile(other_file), facts->predicted);
        return load_memory_data(memory, &predicted, state, frame);
      },
      [this](std::shared_ptr<const MemoryData> fresh) { take_data(std::move(fresh)); },
      [this](const QString& problem) { fail(problem); });
}

void MemoryView::take_data(std::shared_ptr<const MemoryData> fresh) {
  data_ = std::move(fresh);
  canvas_->show_data(data_, title_, state_);
  show_controls();
  show_table();
  Q_EMIT problem({});
}

void MemoryView::fail(const QString& problem) {
  facts_.reset();
  data_.reset();
  canvas_->show_text(problem);
  show_table();
  Q_EMIT this->problem(problem);
}

// ---- state

void MemoryView::set_state(const MemoryState& state, int gesture) {
  if (showing_ || state == state_) return;
  adopt(state);
  share();
  Q_EMIT state_changed(gesture);
}

void MemoryView::adopt(const MemoryState& state) {
  state_ = state;
  if (data_) canvas_->show_data(data_, title_, state_);  // what is known at once; the rest is asked for
  show_controls();
  ask_data();
}

QJsonObject MemoryView::state() const {
  return QJsonDocument::fromJson(QByteArray::fromStdString(to_json(state_))).object();
}

void MemoryView::restore(const QJsonObject& state) {
  const std::string text = QJsonDocument(state).toJson(QJsonDocument::Compact).toStdString();
  MemoryState wanted = parse_memory_state(text, "memory");
  wanted.dark = state_.dark;  // the window's choice
  adopt(wanted);
  share();
}

void MemoryView::set_dark(bool dark) {
  state_.dark = dark;
  data_ ? canvas_->show_data(data_, title_, state_) : canvas_->show_text(canvas_->text());
}

Picture MemoryView::picture(double width, double height) const { return canvas_->picture(width, height); }

QString MemoryView::limit_text() const {
  if (state_.limit_bytes <= 0) return {};
  return QString::fromStdString(format_bytes(static_cast<double>(state_.limit_bytes)));
}

void MemoryView::show_controls() {
  showing_ = true;
  show_index(spaces_, static_cast<int>(state_.space));
  show_index(ranks_, static_cast<int>(state_.ranks));
  {
    const QSignalBlocker quiet(rank_);
    rank_->setValue(state_.rank);
  }
  rank_->setEnabled(state_.ranks == MemoryRanks::kOne);
  if (!limit_->hasFocus()) limit_->setText(limit_text());
  showing_ = false;
}

void MemoryView::show_table() {
  table_model_.set_table(data_ ? memory_table(*data_, state_) : TableData{});
  table_title_->setText(data_ ? QString::fromStdString(memory_table_title(*data_, state_)) : QString());
  table_->resizeColumnsToContents();
}

// ---- commands

void MemoryView::look(TimeWindow window) {
  MemoryState wanted = state_;
  wanted.window = window == data_->extent ? TimeWindow{} : window;
  set_state(wanted, next_memory_gesture());
}

/// The cursor moves to the next change of its rank; without one, to the fullest rank's.
void MemoryView::step_change(bool forward) {
  if (!data_ || data_->panels.empty()) return;
  const MemoryCursor from =
      state_.cursor.value_or(MemoryCursor{data_->panels.front().peak.rank, data_->window.begin_ns});
  context_.pool.ask<std::int64_t>(
      this, "change",
      [facts = facts_, file = file_, from, forward, space = state_.space](QueryFiles& files) {
        constexpr std::int64_t kNone = -1;
        const MemoryTimeline memory(files.profile(file), facts->run);
        const auto all = memory.live(from.rank);
        const auto& changes = (*all)[static_cast<std::size_t>(space)].changes;
        const auto before = [](const LiveChange& c, std::int64_t t) { return c.time_ns < t; };
        if (forward) {
          const auto next = std::lower_bound(changes.begin(), changes.end(), from.time_ns + 1, before);
          return next == changes.end() ? kNone : next->time_ns;
        }
        const auto at = std::lower_bound(changes.begin(), changes.end(), from.time_ns, before);
        return at == changes.begin() ? kNone : std::prev(at)->time_ns;
      },
      [this, from](const std::shared_ptr<const std::int64_t>& at_ns) {
        if (*at_ns < 0) return;
        MemoryState wanted = state_;
        wanted.cursor = MemoryCursor{from.rank, *at_ns};
        set_state(wanted, next_memory_gesture());
      },
      [this](const QString& problem) { fail(problem); });
}

void MemoryView::go_to_mark(bool over) {
  if (!data_) return;
  for (const MemoryPanel& panel : data_->panels) {
    if (state_.cursor && panel.peak.rank != state_.cursor->rank) continue;
    const std::optional<MemoryMark>& mark = over ? panel.over : panel.peak_at;
    if (!mark) continue;
    MemoryState wanted = state_;
    wanted.cursor = MemoryCursor{panel.peak.rank, mark->instant.time_ns};
    set_state(wanted, next_memory_gesture());
    return;
  }
  Q_EMIT problem(over ? QStringLiteral("No rank shown here is over the limit.") : QString());
}

void MemoryView::move_cursor_rank(int by) {
  if (!data_ || data_->panels.empty()) return;
  const auto count = static_cast<int>(data_->panels.size());
  int place = by > 0 ? -1 : count;
  for (int i = 0; i < count; ++i) {
    if (state_.cursor && data_->panels[static_cast<std::size_t>(i)].peak.rank == state_.cursor->rank) place = i;
  }
  place = std::clamp(place + by, 0, count - 1);
  MemoryState wanted = state_;
  const std::int64_t at_ns =
      state_.cursor ? state_.cursor->time_ns : data_->window.begin_ns + data_->window.length() / 2;
  wanted.cursor = MemoryCursor{data_->panels[static_cast<std::size_t>(place)].peak.rank, at_ns};
  set_state(wanted, next_memory_gesture());
}

void MemoryView::scroll_ranks(int by) {
  if (!data_ || state_.ranks != MemoryRanks::kAll) return;
  const auto shown = static_cast<int>(data_->panels.size()), all = static_cast<int>(data_->ranks.size());
  MemoryState wanted = state_;
  wanted.first = std::clamp(state_.first + by * std::max(1, shown - 1), 0, std::max(0, all - shown));
  set_state(wanted, next_memory_gesture());
}

void MemoryView::take_limit() {
  if (limit_->text() == limit_text()) return;  // as it was, only rounded
  const std::optional<std::int64_t> bytes = parse_bytes(limit_->text().toStdString());
  if (!bytes) {
    Q_EMIT problem(QStringLiteral("The limit is '%1'; it must be a size, as 80 GiB").arg(limit_->text()));
    return;
  }
  MemoryState wanted = state_;
  wanted.limit_bytes = *bytes;
  set_state(wanted, next_memory_gesture());
}

std::optional<std::int64_t> parse_bytes(const std::string& text) {
  const QString trimmed = QString::fromStdString(text).trimmed();
  if (trimmed.isEmpty()) return 0;
  qsizetype digits = 0;
  while (digits < trimmed.size() && (trimmed[digits].isDigit() || trimmed[digits] == QLatin1Char('.'))) ++digits;
  bool good = false;
  double value = trimmed.left(digits).toDouble(&good);
  const QString unit = trimmed.mid(digits).trimmed().toUpper();
  const QStringList units{QString(), QStringLiteral("K"), QStringLiteral("M"), QStringLiteral("G"),
                          QStringLiteral("T")};
  for (int i = 0; good && i < units.size(); ++i) {
    const QString& u = units[i];
    if (unit != u && unit != u + QStringLiteral("B") && unit != u + QStringLiteral("IB")) continue;
    value *= std::pow(1024.0, i);
    constexpr double kMost = 1LL << 56;
    if (value >= 1 && value < kMost) return std::llround(value);
  }
  return std::nullopt;
}

}  // namespace shardscope::gui
