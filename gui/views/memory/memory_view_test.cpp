// The memory tab: every key, the pointer, what it follows and what it says when something is missing.

#include "gui/views/memory/memory_view.h"

#include <gmock/gmock.h>

#include <QAbstractItemModelTester>
#include <QAction>
#include <QComboBox>
#include <QLineEdit>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTableView>
#include <QWheelEvent>
#include <QtTest>
#include <memory>

#include "core/error.h"
#include "gui/models/memory_sample.h"
#include "gui/views/memory/memory_canvas.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {
namespace {

constexpr int kPatienceMs = 20'000;

class MemoryTab : public ::testing::Test {
 protected:
  MemoryTab() : context_{pool_, selection_} {
    view_ = std::make_unique<MemoryView>(context_);
    view_->resize(1300, 900);
    view_->show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(view_.get()));
    canvas_ = view_->findChild<MemoryCanvas*>("canvas");
    canvas_->setFocus();
  }
  void open(int ranks = 3) {
    const std::string path = folder_.file(std::to_string(ranks) + ".db");
    record_sample_memory(path, ranks);
    session_ = std::make_shared<Session>(make_session({path}, load_summaries({path})));
    view_->show_session(session_);
    wait();
  }
  /// Until every question is answered.
  void wait() {
    EXPECT_TRUE(QTest::qWaitFor([this] { return !pool_.busy() && view_->shown() != nullptr; }, kPatienceMs));
  }
  void press(Qt::Key key, Qt::KeyboardModifiers modifiers = Qt::NoModifier) {
    QTest::keyClick(canvas_, key, modifiers);
    wait();
  }
  QPoint in_panel(double part, int panel = 0) const {
    const MemoryFrame f =
        memory_frame(view_->shown()->ranks.size(), view_->memory_state().ranks, canvas_->width(), canvas_->height());
    return {static_cast<int>(f.left + f.width * part), static_cast<int>(f.area_top(panel) + 10)};
  }
  void wheel(QPoint at, int notches, Qt::KeyboardModifiers modifiers) {
    QWheelEvent event(at, canvas_->mapToGlobal(at), {}, {0, 120 * notches}, Qt::NoButton, modifiers, Qt::NoScrollPhase,
                      false);
    QCoreApplication::sendEvent(canvas_, &event);
    wait();
  }
  const MemoryState& state() const { return view_->memory_state(); }
  TimeWindow window() const { return view_->shown()->window; }

  shardscope::testing::TempFolder folder_;
  QueryPool pool_;
  SharedSelection selection_;
  ViewContext context_;
  std::shared_ptr<const Session> session_;
  std::unique_ptr<MemoryView> view_;
  MemoryCanvas* canvas_ = nullptr;
};

TEST_F(MemoryTab, SaysWhatToDoWhileNothingIsOpen) {
  EXPECT_TRUE(canvas_->text().contains("Open a profile"));
  EXPECT_EQ(view_->table()->rowCount(), 0);
  EXPECT_FALSE(view_->picture(600, 400).texts.empty());
  for (const QAction* command : view_->commands()) EXPECT_FALSE(command->text().isEmpty());
  for (Qt::Key key :
       {Qt::Key_W, Qt::Key_P, Qt::Key_O, Qt::Key_Period, Qt::Key_Down, Qt::Key_PageDown, Qt::Key_0, Qt::Key_Escape})
    QTest::keyClick(canvas_, key);
  EXPECT_EQ(view_->shown(), nullptr);
}

TEST_F(MemoryTab, ShowsTheRunAndItsPrediction) {
  open();
  ASSERT_EQ(view_->shown()->panels.size(), 3U);
  EXPECT_EQ(view_->shown()->panels[0].peak.predicted_bytes, 38 * kSampleMiB);
  EXPECT_THAT(view_->picture(1200, 700).texts, ::testing::Contains("rank 2"));
  EXPECT_EQ(view_->table()->rowCount(), 3);
  EXPECT_EQ(view_->table()->index(0, 1).data().toString(), "44 MiB");
  EXPECT_TRUE(view_->table()->index(0, 3).data().toString().contains("over"));
}

TEST_F(MemoryTab, ZoomsAndPansByKeys) {
  open();
  const TimeWindow whole = window();
  for (Qt::Key in : {Qt::Key_W, Qt::Key_I, Qt::Key_Plus, Qt::Key_Equal}) {
    const std::int64_t before = window().length();
    press(in);
    EXPECT_LT(window().length(), before);
  }
  for (Qt::Key left : {Qt::Key_A, Qt::Key_J, Qt::Key_Left}) {
    const std::int64_t before = window().begin_ns;
    press(left);
    EXPECT_LT(window().begin_ns, before);
  }
  for (Qt::Key right : {Qt::Key_D, Qt::Key_L, Qt::Key_Right}) {
    const std::int64_t before = window().begin_ns;
    press(right);
    EXPECT_GT(window().begin_ns, before);
  }
  for (Qt::Key out : {Qt::Key_S, Qt::Key_K, Qt::Key_Minus}) {
    const std::int64_t before = window().length();
    press(out);
    EXPECT_GT(window().length(), before);
  }
  for (Qt::Key all : {Qt::Key_0, Qt::Key_F}) {
    press(Qt::Key_W);
    press(all);
    EXPECT_EQ(window(), whole);
  }
}

TEST_F(MemoryTab, TheCursorWalksFromChangeToChange) {
  open();
  press(Qt::Key_P);
  ASSERT_TRUE(state().cursor);
  EXPECT_EQ(*state().cursor, (MemoryCursor{2, 5'000'000}));
  EXPECT_EQ(view_->table()->headerData(2, Qt::Horizontal).toString(), "buffer");
  EXPECT_EQ(view_->table()->rowCount(), 5);
  press(Qt::Key_Period);
  EXPECT_EQ(state().cursor->time_ns, 6'000'000);
  press(Qt::Key_Comma);
  press(Qt::Key_Comma);
  EXPECT_EQ(state().cursor->time_ns, 3'000'000);
  press(Qt::Key_Down);
  EXPECT_EQ(state().cursor->rank, 1);
  press(Qt::Key_O);
  EXPECT_EQ(*state().cursor, (MemoryCursor{1, 5'000'000}));
  press(Qt::Key_Up);
  EXPECT_EQ(state().cursor->rank, 2);
  press(Qt::Key_Escape);
  EXPECT_FALSE(state().cursor);
  EXPECT_EQ(view_->table()->headerData(0, Qt::Horizontal).toString(), "rank");
}

TEST_F(MemoryTab, NoRankOverTheLimitIsSaid) {
  open();
  press(Qt::Key_Down);
  press(Qt::Key_Down);
  press(Qt::Key_Down);
  ASSERT_EQ(state().cursor->rank, 0);
  QSignalSpy said(view_.get(), &View::problem);
  press(Qt::Key_O);
  EXPECT_TRUE(said.at(0).at(0).toString().contains("over the limit"));
}

TEST_F(MemoryTab, SpacesRanksAndCategoriesAreChosenByKeys) {
  open();
  press(Qt::Key_T);
  EXPECT_EQ(state().space, Space::kPinned);
  EXPECT_THAT(view_->picture(1200, 700).texts, ::testing::Contains(::testing::HasSubstr("There is: device, host.")));
  press(Qt::Key_T);
  EXPECT_EQ(state().space, Space::kHost);
  EXPECT_EQ(view_->shown()->panels.size(), 3U);
  press(Qt::Key_T);
  press(Qt::Key_T);
  press(Qt::Key_R);
  EXPECT_EQ(state().ranks, MemoryRanks::kAll);
  press(Qt::Key_R);
  EXPECT_EQ(state().ranks, MemoryRanks::kOne);
  EXPECT_EQ(view_->shown()->panels.size(), 1U);
  EXPECT_EQ(selection_.ranks(), std::vector<int>{0});
  press(Qt::Key_R);
  EXPECT_TRUE(selection_.ranks().empty());
  for (int i = 0; i < kCategories; ++i) {
    press(static_cast<Qt::Key>(Qt::Key_0 + (i + 1) % 10), Qt::AltModifier);
    EXPECT_EQ(state().hidden.size(), 1U);
    press(static_cast<Qt::Key>(Qt::Key_0 + (i + 1) % 10), Qt::AltModifier);
    EXPECT_TRUE(state().hidden.empty());
  }
}

TEST_F(MemoryTab, ManyRanksScroll) {
  open(40);
  press(Qt::Key_R);
  const std::size_t shown = view_->shown()->panels.size();
  ASSERT_LT(shown, 40U);
  press(Qt::Key_PageDown);
  EXPECT_EQ(state().first, static_cast<int>(shown) - 1);
  EXPECT_EQ(view_->shown()->panels[0].peak.rank, state().first);
  wheel(in_panel(0.5), -3, Qt::NoModifier);
  EXPECT_EQ(state().first, static_cast<int>(shown) + 2);
  for (int i = 0; i < 50; ++i) press(Qt::Key_PageDown);
  EXPECT_EQ(view_->shown()->panels.back().peak.rank, 39);
  press(Qt::Key_PageUp);
  EXPECT_LT(view_->shown()->panels.back().peak.rank, 39);
}

TEST_F(MemoryTab, ThePointerSetsTheCursorZoomsAndPans) {
  open();
  QSignalSpy changed(view_.get(), &View::state_changed);
  QTest::mouseClick(canvas_, Qt::LeftButton, {}, in_panel(0.275, 1));
  wait();
  ASSERT_TRUE(state().cursor);
  EXPECT_EQ(state().cursor->rank, 1);
  EXPECT_NEAR(static_cast<double>(state().cursor->time_ns), 5.5e6, 1e5);
  wheel(in_panel(0.275), 2, Qt::ControlModifier);
  const TimeWindow zoomed = window();
  EXPECT_NEAR(static_cast<double>(zoomed.length()), 2e7 * 0.64, 1e5);
  EXPECT_EQ(changed.count(), 2);
  wheel(in_panel(0.275), -2, Qt::ShiftModifier);
  EXPECT_GT(window().begin_ns, zoomed.begin_ns);
  EXPECT_EQ(window().length(), zoomed.length());
  press(Qt::Key_0);
  QTest::mousePress(canvas_, Qt::LeftButton, {}, in_panel(0.25));
  QTest::mouseMove(canvas_, in_panel(0.4));
  QTest::mouseMove(canvas_, in_panel(0.5));
  QTest::mouseRelease(canvas_, Qt::LeftButton, {}, in_panel(0.5));
  wait();
  EXPECT_NEAR(static_cast<double>(window().begin_ns), 5e6, 1e5);
  EXPECT_NEAR(static_cast<double>(window().end_ns), 1e7, 1e5);
  QTest::mousePress(canvas_, Qt::LeftButton, Qt::ShiftModifier, in_panel(0.5));
  QTest::mouseMove(canvas_, in_panel(0.25));
  wait();
  QTest::mouseRelease(canvas_, Qt::LeftButton, Qt::ShiftModifier, in_panel(0.25));
  EXPECT_NEAR(static_cast<double>(window().begin_ns), 6.25e6, 1e5);
  QTest::mouseDClick(canvas_, Qt::LeftButton, {}, in_panel(0.5, 2));
  wait();
  EXPECT_EQ(state().ranks, MemoryRanks::kOne);
  EXPECT_EQ(state().rank, 0);
  const int last = changed.last().at(0).toInt();
  EXPECT_GT(last, 0);
}

TEST_F(MemoryTab, TheLegendAndThePeaksCanBeClicked) {
  open();
  QTest::mouseClick(canvas_, Qt::LeftButton, {}, QPoint(20, canvas_->height() - 14));
  wait();
  EXPECT_TRUE(state().hidden.contains(Category::kParameter));
  const MemoryFrame f = memory_frame(3, state().ranks, canvas_->width(), canvas_->height());
  QTest::mouseClick(canvas_, Qt::LeftButton, {},
                    QPoint(static_cast<int>(f.side_left) + 60, static_cast<int>(f.top) + 35));
  wait();
  EXPECT_EQ(state().ranks, MemoryRanks::kOne);
  EXPECT_EQ(state().rank, 1);
}

TEST_F(MemoryTab, ControlsSayAndTakeWhatIsShown) {
  open();
  auto* space = view_->findChild<QComboBox*>("space");
  auto* ranks = view_->findChild<QComboBox*>("ranks");
  auto* rank = view_->findChild<QSpinBox*>("rank");
  auto* limit = view_->findChild<QLineEdit*>("limit");
  EXPECT_FALSE(rank->isEnabled());
  ranks->setCurrentIndex(2);
  wait();
  EXPECT_TRUE(rank->isEnabled());
  EXPECT_EQ(rank->maximum(), 2);
  rank->setValue(1);
  wait();
  EXPECT_EQ(view_->shown()->panels.at(0).peak.rank, 1);
  limit->setText("30 MiB");
  QTest::keyClick(limit, Qt::Key_Return);
  wait();
  EXPECT_EQ(view_->shown()->limit_bytes, 30 * kSampleMiB);
  EXPECT_EQ(view_->shown()->panels.at(0).over->instant.time_ns, 5'000'000);
  QSignalSpy said(view_.get(), &View::problem);
  limit->setText("a lot");
  QTest::keyClick(limit, Qt::Key_Return);
  EXPECT_TRUE(said.at(0).at(0).toString().contains("'a lot'"));
  space->setCurrentIndex(2);
  wait();
  EXPECT_EQ(state().space, Space::kHost);
  for (const QWidget* control :
       {static_cast<QWidget*>(space), static_cast<QWidget*>(ranks), static_cast<QWidget*>(rank),
        static_cast<QWidget*>(limit), static_cast<QWidget*>(canvas_)})
    EXPECT_FALSE(control->accessibleName().isEmpty());
}

TEST_F(MemoryTab, StateIsSavedAndRestored) {
  open();
  press(Qt::Key_W);
  press(Qt::Key_P);
  press(Qt::Key_2, Qt::AltModifier);
  const QJsonObject saved = view_->state();
  const MemoryState before = state();
  press(Qt::Key_0);
  press(Qt::Key_Escape);
  view_->restore(saved);
  wait();
  EXPECT_EQ(state(), before);
  QJsonObject bad = saved;
  bad["zoom"] = 3;
  EXPECT_THROW(view_->restore(bad), Error);
  EXPECT_EQ(state(), before) << "a bad state changes nothing";
}

TEST_F(MemoryTab, FollowsTheSharedSelectionAndTellsIt) {
  open();
  QSignalSpy changed(view_.get(), &View::state_changed);
  selection_.set_window({2'000'000, 9'000'000});
  wait();
  EXPECT_EQ(window(), (TimeWindow{2'000'000, 9'000'000}));
  selection_.set_ranks({1});
  wait();
  EXPECT_EQ(view_->shown()->panels.at(0).peak.rank, 1);
  selection_.set_op(TimelineSelection{2, "compute", 0, 2, 5'500'000});
  wait();
  EXPECT_EQ(*state().cursor, (MemoryCursor{2, 5'500'000}));
  selection_.clear();
  wait();
  EXPECT_EQ(state().ranks, MemoryRanks::kWorst);
  EXPECT_EQ(changed.count(), 0) << "what others did is no step of ours to undo";
  press(Qt::Key_W);
  EXPECT_EQ(selection_.window(), window());
}

TEST_F(MemoryTab, AFileThatCannotBeReadIsAnErrorThatPasses) {
  open();
  auto broken = std::make_shared<Session>(*session_);
  for (RunSummary& run : broken->runs) run.file = folder_.file("gone.db");
  QSignalSpy said(view_.get(), &View::problem);
  view_->show_session(broken);
  EXPECT_TRUE(QTest::qWaitFor([this] { return !pool_.busy(); }, kPatienceMs));
  EXPECT_TRUE(canvas_->text().contains("gone.db"));
  EXPECT_TRUE(said.last().at(0).toString().contains("gone.db"));
  view_->show_session(session_);
  wait();
  EXPECT_EQ(view_->shown()->panels.size(), 3U);
  view_->show_session(nullptr);
  EXPECT_TRUE(canvas_->text().contains("Open a profile"));
}

TEST_F(MemoryTab, TheTableIsASoundModel) {
  const QAbstractItemModelTester tester(view_->table(), QAbstractItemModelTester::FailureReportingMode::Fatal);
  open();
  press(Qt::Key_P);
  view_->table()->sort(0, Qt::DescendingOrder);
  press(Qt::Key_Escape);
  EXPECT_EQ(view_->table()->rowCount(), 3);
}

TEST_F(MemoryTab, DarkAndLightDiffer) {
  open();
  const QImage light = view_->grab().toImage();
  view_->set_dark(true);
  EXPECT_NE(view_->grab().toImage(), light);
  EXPECT_TRUE(state().dark);
}

TEST(ParseBytes, TakesSizesAndNothingElse) {
  EXPECT_EQ(parse_bytes(""), 0);
  EXPECT_EQ(parse_bytes("80 GiB"), 80LL << 30);
  EXPECT_EQ(parse_bytes("80G"), 80LL << 30);
  EXPECT_EQ(parse_bytes("1.5 mb"), 3LL << 19);
  EXPECT_EQ(parse_bytes("4096"), 4096);
  for (const char* bad : {"x", "80 X", "-3", "0", "1e300", "99999999999999T", "..", "G"})
    EXPECT_FALSE(parse_bytes(bad)) << bad;
}

}  // namespace
}  // namespace shardscope::gui
