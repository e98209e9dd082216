// The timeline's tab under keys and pointer, on a profile made here.

#include "gui/views/timeline/timeline_view.h"

#include <gtest/gtest.h>

#include <QClipboard>
#include <QGuiApplication>
#include <QJsonArray>
#include <QLabel>
#include <QLineEdit>
#include <QSignalSpy>
#include <QTableView>
#include <QWheelEvent>
#include <QtTest>

#include "core/error.h"
#include "gui/models/run_summary.h"
#include "gui/views/timeline/minimap.h"
#include "gui/views/timeline/timeline_canvas.h"
#include "gui/views/timeline/timeline_panel.h"
#include "gui/views/view_context.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

constexpr int kPatienceMs = 20'000;

class TimelineTab : public ::testing::Test {
 protected:
  TimelineTab() : view_(context_) {
    shardscope::testing::record_tiny_profile(folder_.file("run.db"), "run", 40);
    shardscope::testing::record_tiny_profile(folder_.file("run.db"), "run", 4, /*predicted=*/true);
    session_ =
        std::make_shared<Session>(make_session({folder_.file("run.db")}, load_summaries({folder_.file("run.db")})));
    view_.resize(1000, 700);
    view_.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&view_));
    view_.show_session(session_);
    settle();
    canvas_ = view_.findChild<TimelineCanvas*>("canvas");
    panel_ = view_.findChild<TimelinePanel*>();
    canvas_->setFocus();
  }
  void settle() {
    EXPECT_TRUE(QTest::qWaitFor([this] { return view_.is_loaded() && !pool_.busy(); }, kPatienceMs));
    QTest::qWait(160);  // the tables follow a moment later
    EXPECT_TRUE(QTest::qWaitFor([this] { return !pool_.busy(); }, kPatienceMs));
  }
  void key(Qt::Key key, Qt::KeyboardModifiers modifiers = {}) {
    QTest::keyClick(canvas_, key, modifiers);
    settle();
  }
  void wheel(QPointF at, int delta, Qt::KeyboardModifiers modifiers) {
    QWheelEvent event(at, canvas_->mapToGlobal(at), {}, {0, delta}, Qt::NoButton, modifiers, Qt::NoScrollPhase, false);
    QCoreApplication::sendEvent(canvas_, &event);
  }
  void drag(QPoint from, QPoint to, Qt::MouseButton button = Qt::LeftButton, Qt::KeyboardModifiers modifiers = {}) {
    QTest::mousePress(canvas_, button, modifiers, from);
    QMouseEvent move(QEvent::MouseMove, to, canvas_->mapToGlobal(to), Qt::NoButton, button, modifiers);
    QCoreApplication::sendEvent(canvas_, &move);
    QTest::mouseRelease(canvas_, button, modifiers, to);
  }
  TimeWindow window() const { return canvas_->scene().window; }
  QPoint point(std::int64_t ns, int rank, const char* lane) const {
    for (const TimelineRow& row : canvas_->scene().layout.rows) {
      if (row.rank != rank || canvas_->scene().catalog->tracks[row.tracks.front()].lane != lane) continue;
      const RowPlace place = canvas_->scene().place_of(row);
      return {static_cast<int>(canvas_->scene().x(ns)), static_cast<int>(place.y + place.height / 2)};
    }
    ADD_FAILURE() << "no such row";
    return {};
  }
  QString cell(TimelinePanel::Tab tab, int row, int column) {
    TableModel& model = panel_->table(tab);
    return model.data(model.index(row, column)).toString();
  }
  void look_at_step_one() {
    TimelineState state = view_.timeline_state();
    state.window = {1'000'000, 2'000'000};
    Q_EMIT canvas_->state_asked(state, 0);
    settle();
  }

  shardscope::testing::TempFolder folder_;
  QueryPool pool_;
  SharedSelection selection_;
  ViewContext context_{pool_, selection_};
  TimelineView view_;
  std::shared_ptr<const Session> session_;
  TimelineCanvas* canvas_ = nullptr;
  TimelinePanel* panel_ = nullptr;
};

TEST_F(TimelineTab, MemoryAndFlameOfWhatIsSeenAreAskedForWhenLookedAt) {
  EXPECT_EQ(panel_->table(TimelinePanel::kMemory).rowCount(), 0) << "nobody looked";
  panel_->show_tab(TimelinePanel::kMemory);
  settle();
  ASSERT_EQ(panel_->table(TimelinePanel::kMemory).rowCount(), 2) << "device memory of two ranks";
  EXPECT_EQ(cell(TimelinePanel::kMemory, 0, 3), "17.9 KiB");
  panel_->show_tab(TimelinePanel::kFlame);
  settle();
  const int whole = panel_->table(TimelinePanel::kFlame).rowCount();
  EXPECT_GT(whole, 6);
  look_at_step_one();
  QTest::qWait(150);  // the tables wait for the view to be still
  settle();
  EXPECT_EQ(panel_->table(TimelinePanel::kFlame).rowCount(), whole) << "every op runs in every step";
  auto* flame = panel_->findChild<QWidget*>(QStringLiteral("flame"));
  ASSERT_NE(flame, nullptr);
  const QImage before = flame->grab().toImage();
  QTest::mouseClick(flame, Qt::LeftButton, {}, {flame->width() / 4, 30});
  EXPECT_NE(flame->grab().toImage(), before) << "a part is the whole now";
  EXPECT_EQ(view_.table(), &panel_->table(TimelinePanel::kFlame));
}

TEST_F(TimelineTab, TheStepThatIsSeenIsNamedUntilAllAreSeenAgain) {
  auto* step = view_.findChild<QLabel*>(QStringLiteral("step"));
  ASSERT_NE(step, nullptr);
  const QString all = step->text();
  EXPECT_TRUE(all.endsWith(QStringLiteral(" steps"))) << all.toStdString();
  const QJsonObject whole = view_.state();
  look_at_step_one();
  EXPECT_TRUE(step->text().startsWith(QStringLiteral("step 1 of "))) << step->text().toStdString();
  view_.restore(whole);  // as undo does
  EXPECT_EQ(step->text(), all);
}

TEST_F(TimelineTab, RanksAreLeftOutOfTheTablesByTheirBoxes) {
  QTest::qWait(150);
  settle();
  ASSERT_EQ(panel_->table(TimelinePanel::kByRank).rowCount(), 2);
  TimelineState state = view_.timeline_state();
  state.area = TimelineArea{{0, 2'000'000}, 0, 1};
  Q_EMIT canvas_->state_asked(state, 0);
  const QPoint rank_1 = point(1'000'000, 1, "compute");
  QTest::mouseClick(canvas_, Qt::LeftButton, {}, {4, rank_1.y()});
  EXPECT_EQ(view_.timeline_state().unchecked, std::vector<int>{1});
  QTest::qWait(150);
  settle();
  EXPECT_EQ(panel_->table(TimelinePanel::kByRank).rowCount(), 1);
  EXPECT_TRUE(panel_->caption().contains("without 1")) << panel_->caption().toStdString();
  QTest::mouseClick(canvas_, Qt::LeftButton, {}, {4, rank_1.y()});
  EXPECT_TRUE(view_.timeline_state().unchecked.empty());
  QTest::mouseClick(canvas_, Qt::LeftButton, {}, rank_1);  // selects an op there
  settle();
  key(Qt::Key_X, Qt::ShiftModifier);
  EXPECT_EQ(view_.timeline_state().unchecked, std::vector<int>{0});
  key(Qt::Key_X, Qt::ShiftModifier);
  EXPECT_TRUE(view_.timeline_state().unchecked.empty());
  key(Qt::Key_X);
  EXPECT_EQ(view_.timeline_state().unchecked, std::vector<int>{1});
  EXPECT_EQ(view_.state()["unchecked"].toArray().size(), 1);
}

TEST_F(TimelineTab, ArrowsAreDrawnOnDemandAndGoFurtherBack) {
  EXPECT_EQ(view_.timeline_state().flow, 0);
  key(Qt::Key_G);
  EXPECT_EQ(view_.timeline_state().flow, 1);
  key(Qt::Key_G, Qt::ShiftModifier);
  EXPECT_EQ(view_.timeline_state().flow, 2);
  EXPECT_EQ(view_.state()["flow"].toInt(), 2);
  key(Qt::Key_G);
  EXPECT_EQ(view_.timeline_state().flow, 0);
  EXPECT_THROW(view_.restore({{"version", 1}, {"view", "timeline"}, {"flow", 99}}), Error);
}

TEST_F(TimelineTab, KeysZoomAndPanAndComeBack) {
  const TimeWindow whole = window();
  EXPECT_EQ(whole, canvas_->scene().catalog->extent);
  for (Qt::Key in : {Qt::Key_W, Qt::Key_Up, Qt::Key_I, Qt::Key_Plus}) {
    const TimeWindow before = window();
    key(in);
    EXPECT_LT(window().length(), before.length()) << in;
  }
  for (Qt::Key right : {Qt::Key_D, Qt::Key_Right, Qt::Key_L}) {
    const TimeWindow before = window();
    key(right);
    EXPECT_GT(window().begin_ns, before.begin_ns) << right;
    EXPECT_EQ(window().length(), before.length()) << "a pan does not zoom";
  }
  for (Qt::Key left : {Qt::Key_A, Qt::Key_Left, Qt::Key_J}) {
    const TimeWindow before = window();
    key(left);
    EXPECT_LT(window().begin_ns, before.begin_ns) << left;
  }
  for (Qt::Key out : {Qt::Key_S, Qt::Key_Down, Qt::Key_K, Qt::Key_Minus}) {
    const TimeWindow before = window();
    key(out);
    EXPECT_GT(window().length(), before.length()) << out;
  }
  key(Qt::Key_W);
  key(Qt::Key_0);
  EXPECT_EQ(window(), whole);
  EXPECT_EQ(selection_.window(), whole) << "the other views are told";
}

TEST_F(TimelineTab, TheWheelZoomsAtThePointerScrollsOrPans) {
  const QPoint at = point(30'000'000, 0, "compute");
  wheel(at, 120, Qt::ControlModifier);
  EXPECT_NEAR(canvas_->scene().x(30'000'000), at.x(), 1.5) << "what is under the pointer stays there";
  const TimeWindow zoomed = window();
  wheel(at, -120, Qt::ShiftModifier);
  EXPECT_GT(window().begin_ns, zoomed.begin_ns);
  EXPECT_EQ(window().length(), zoomed.length());
  const TimeWindow panned = window();
  wheel(at, -120, {});
  EXPECT_EQ(window(), panned) << "a plain wheel only scrolls rows";
}

TEST_F(TimelineTab, TurnsOfOneGestureAreOneStepOfUndo) {
  QSignalSpy changes(&view_, &View::state_changed);
  const QPoint at = point(30'000'000, 0, "compute");
  for (int i = 0; i < 4; ++i) wheel(at, 120, Qt::ControlModifier);
  ASSERT_EQ(changes.count(), 4);
  EXPECT_EQ(changes[0][0], changes[3][0]);
  wheel(at, -120, Qt::ShiftModifier);
  EXPECT_NE(changes[4][0], changes[3][0]) << "another gesture";
}

TEST_F(TimelineTab, ADragSelectsAnAreaAndItsTablesAreExact) {
  look_at_step_one();
  drag(point(1'000'000, 0, "compute"), point(2'000'000 - 1, 1, "reduce"));
  settle();
  ASSERT_TRUE(view_.timeline_state().area);
  const TimelineArea area = *view_.timeline_state().area;
  EXPECT_EQ(area.first_rank, 0);
  EXPECT_EQ(area.last_rank, 1);
  EXPECT_TRUE(panel_->caption().startsWith("area:")) << panel_->caption().toStdString();
  int matmuls = -1;
  for (int row = 0; row < panel_->table(TimelinePanel::kByOp).rowCount(); ++row) {
    if (cell(TimelinePanel::kByOp, row, 0) == "matmul h.0.mlp") matmuls = cell(TimelinePanel::kByOp, row, 2).toInt();
  }
  EXPECT_EQ(matmuls, 1) << "rank 0's of step 1; rank 1's of step 0 ended before";
  EXPECT_EQ(panel_->table(TimelinePanel::kByRank).rowCount(), 2);
  EXPECT_EQ(panel_->table(TimelinePanel::kCollectives).rowCount(), 2);
  // An edge can be taken hold of.
  const int right = static_cast<int>(canvas_->scene().x(area.time.end_ns));
  drag({right, 200}, {right - 100, 200});
  EXPECT_LT(view_.timeline_state().area->time.end_ns, area.time.end_ns);
  EXPECT_EQ(view_.timeline_state().area->time.begin_ns, area.time.begin_ns);
  key(Qt::Key_Escape);
  EXPECT_FALSE(view_.timeline_state().area);
}

TEST_F(TimelineTab, ShiftAndMiddleDragPanAndAltDragZooms) {
  look_at_step_one();
  const TimeWindow before = window();
  drag({500, 200}, {400, 200}, Qt::LeftButton, Qt::ShiftModifier);
  EXPECT_GT(window().begin_ns, before.begin_ns);
  EXPECT_EQ(window().length(), before.length());
  drag({400, 200}, {500, 200}, Qt::MiddleButton);
  EXPECT_NEAR(static_cast<double>(window().begin_ns), static_cast<double>(before.begin_ns), 2000);
  EXPECT_FALSE(view_.timeline_state().area);
  drag({400, 200}, {500, 200}, Qt::LeftButton, Qt::AltModifier);
  EXPECT_NEAR(static_cast<double>(window().length()),
              static_cast<double>(before.length()) * 100 / canvas_->scene().frame.width, 2000);
}

TEST_F(TimelineTab, AClickSelectsAnOpAndTellsAboutIt) {
  look_at_step_one();
  QTest::mouseClick(canvas_, Qt::LeftButton, {}, point(1'250'000, 0, "compute"));
  settle();
  ASSERT_TRUE(view_.timeline_state().selection);
  EXPECT_EQ(view_.timeline_state().selection->op, shardscope::testing::kMatMulOp.index);
  EXPECT_EQ(view_.timeline_state().selection->step, 1);
  EXPECT_EQ(selection_.op(), view_.timeline_state().selection);
  EXPECT_EQ(panel_->tab(), TimelinePanel::kDetails);
  EXPECT_EQ(cell(TimelinePanel::kDetails, 0, 1), "matmul h.0.mlp");
  bool predicted = false;
  for (int row = 0; row < panel_->table(TimelinePanel::kDetails).rowCount(); ++row)
    predicted |=
        cell(TimelinePanel::kDetails, row, 0) == "predicted, mean" && cell(TimelinePanel::kDetails, row, 1) == "300 us";
  EXPECT_TRUE(predicted);
  key(Qt::Key_Period);
  EXPECT_EQ(view_.timeline_state().selection->op, shardscope::testing::kAdamOp.index);
  key(Qt::Key_Comma);
  EXPECT_EQ(view_.timeline_state().selection->op, shardscope::testing::kMatMulOp.index);
  key(Qt::Key_F);
  EXPECT_EQ(window().length(), 360'000) << "the op and a tenth on either side";
  key(Qt::Key_F);
  EXPECT_EQ(window(), canvas_->scene().catalog->extent) << "again: everything";
  key(Qt::Key_R);
  ASSERT_TRUE(view_.timeline_state().area);
  EXPECT_EQ(view_.timeline_state().area->time, (TimeWindow{1'100'000, 1'400'000}));
}

TEST_F(TimelineTab, BracketsFollowACollectiveOverTheRanks) {
  look_at_step_one();  // rank 1 is twice as slow: at rank 0's step 0 gather, 300 to 500, it does not gather yet
  TimelineState state = view_.timeline_state();
  state.window = {0, 1'000'000};
  state.selection = TimelineSelection{1, "reduce", 0, shardscope::testing::kReduceOp.index, 1'700'000};
  Q_EMIT canvas_->state_asked(state, 0);
  settle();
  ASSERT_TRUE(canvas_->scene().tile);
  if (canvas_->scene().tile->selected.size() > 1) {
    key(Qt::Key_BracketRight);
    EXPECT_EQ(view_.timeline_state().selection->rank, 0);
    key(Qt::Key_BracketLeft);
    EXPECT_EQ(view_.timeline_state().selection->rank, 1);
  } else {
    key(Qt::Key_BracketRight);
    EXPECT_EQ(view_.timeline_state().selection->rank, 1) << "alone: stays";
  }
}

TEST_F(TimelineTab, ADoubleClickZoomsToTheOp) {
  QTest::mouseDClick(canvas_, Qt::LeftButton, {}, point(30'250'000, 0, "compute"));
  settle();
  EXPECT_LT(window().length(), 2'000'000);
}

TEST_F(TimelineTab, HoveringTellsTheOp) {
  look_at_step_one();
  QSignalSpy hovered(canvas_, &TimelineCanvas::hovered);
  QTest::mouseMove(canvas_, point(1'250'000, 0, "compute"));
  QTest::qWait(1);
  EXPECT_TRUE(hovered.count() > 0 || hovered.wait(kPatienceMs));
  settle();
}

TEST_F(TimelineTab, SearchLooksAtTheWholeRunAndStepsThroughHits) {
  look_at_step_one();
  QTest::keyClick(canvas_, Qt::Key_F, Qt::ControlModifier);
  auto* line = view_.findChild<QLineEdit*>("search");
  EXPECT_TRUE(line->hasFocus());
  QTest::keyClicks(line, "adam rank:0");
  QTest::keyClick(line, Qt::Key_Return);
  settle();
  EXPECT_EQ(view_.findChild<QLabel*>("found")->text(), "40 hits in the whole run");
  EXPECT_EQ(panel_->table(TimelinePanel::kHits).rowCount(), 40);
  QTest::keyClick(line, Qt::Key_Return);
  QTest::keyClick(line, Qt::Key_Return);
  settle();
  EXPECT_EQ(view_.timeline_state().selection->step, 1) << "the second hit";
  QTest::keyClick(line, Qt::Key_Return, Qt::ShiftModifier);
  settle();
  EXPECT_EQ(view_.timeline_state().selection->step, 0);
  EXPECT_EQ(canvas_->scene().hits.size(), 1U) << "only rank 0 is marked";
}

TEST_F(TimelineTab, MarksPinsRowsStepsAndPanel) {
  look_at_step_one();
  QTest::mouseMove(canvas_, point(1'250'000, 1, "compute"));
  QTest::qWait(1);
  key(Qt::Key_M);
  ASSERT_EQ(view_.timeline_state().notes.size(), 1U);
  EXPECT_EQ(panel_->table(TimelinePanel::kNotes).rowCount(), 1);
  key(Qt::Key_M);
  EXPECT_TRUE(view_.timeline_state().notes.empty()) << "again: gone";
  key(Qt::Key_P);
  EXPECT_EQ(view_.timeline_state().pinned, std::vector<int>{1});
  EXPECT_TRUE(canvas_->scene().layout.rows.front().pinned);
  QTest::mouseMove(canvas_, point(1'250'000, 1, "compute"));  // it is on top now
  QTest::qWait(1);
  key(Qt::Key_P);
  EXPECT_TRUE(view_.timeline_state().pinned.empty());
  key(Qt::Key_E, Qt::ControlModifier);
  EXPECT_TRUE(canvas_->scene().layout.rows.front().whole_rank);
  key(Qt::Key_E, Qt::ShiftModifier);
  EXPECT_FALSE(canvas_->scene().layout.rows.front().whole_rank);
  key(Qt::Key_E);
  EXPECT_EQ(view_.timeline_state().expanded->size(), 1U) << "one of the two is closed";
  const TimeWindow before = window();
  key(Qt::Key_Right, Qt::ShiftModifier);
  EXPECT_GT(window().begin_ns, before.begin_ns) << "the next step";
  EXPECT_TRUE(selection_.step());
  key(Qt::Key_Left, Qt::ShiftModifier);
  EXPECT_LT(window().begin_ns, before.end_ns);
  key(Qt::Key_Q);
  EXPECT_FALSE(panel_->isVisible());
  key(Qt::Key_Q);
  EXPECT_TRUE(panel_->isVisible());
}

TEST_F(TimelineTab, AMinimapDragMovesTheView) {
  look_at_step_one();
  auto* minimap = view_.findChild<Minimap*>("minimap");
  QTest::mouseClick(minimap, Qt::LeftButton, {}, {minimap->width() / 2, 10});
  EXPECT_EQ(window().length(), 1'000'000);
  EXPECT_NEAR(static_cast<double>(window().begin_ns), 39'500'000, 200'000);
}

TEST_F(TimelineTab, StateComesBackAndBadStateIsNamed) {
  look_at_step_one();
  key(Qt::Key_P);
  const QJsonObject saved = view_.state();
  key(Qt::Key_0);
  view_.restore(saved);
  EXPECT_EQ(view_.state(), saved);
  EXPECT_EQ(window(), (TimeWindow{1'000'000, 2'000'000}));
  EXPECT_THROW(view_.restore({{"zoom", 3}}), Error);
  EXPECT_EQ(view_.state(), saved) << "a bad one changes nothing";
}

TEST_F(TimelineTab, InATableArrowsMoveInTheTable) {
  panel_->show_tab(TimelinePanel::kByRank);
  QTableView* table = panel_->view(TimelinePanel::kByRank);
  table->setFocus();
  table->setCurrentIndex(table->model()->index(0, 0));
  const TimeWindow before = window();
  QTest::keyClick(table, Qt::Key_Down);
  EXPECT_EQ(table->currentIndex().row(), 1);
  EXPECT_EQ(window(), before);
  QTest::keyClick(table, Qt::Key_W);
  EXPECT_LT(window().length(), before.length()) << "other keys are the timeline's wherever the focus is";
}

TEST_F(TimelineTab, TablesAreCopied) {
  panel_->show_tab(TimelinePanel::kByRank);
  panel_->copy(TextFormat::kTsv);
  EXPECT_TRUE(QGuiApplication::clipboard()->text().startsWith("rank\t"));
  EXPECT_EQ(view_.table(), &panel_->table(TimelinePanel::kByRank));
}

TEST_F(TimelineTab, APictureIsWhatIsShown) {
  look_at_step_one();
  const Picture picture = view_.picture(800, 400);
  EXPECT_NE(std::find(picture.texts.begin(), picture.texts.end(), "matmul h.0.mlp"), picture.texts.end());
}

TEST_F(TimelineTab, EveryCommandHasANameAndAKey) {
  std::set<QString> keys;
  for (const QAction* action : view_.commands()) {
    EXPECT_FALSE(action->text().isEmpty());
    EXPECT_FALSE(action->shortcuts().isEmpty()) << action->text().toStdString();
    for (const QKeySequence& key : action->shortcuts())
      EXPECT_TRUE(keys.insert(key.toString()).second) << key.toString().toStdString() << " twice";
  }
}

TEST_F(TimelineTab, NothingOpenSaysSoAndKeysDoNothing) {
  view_.show_session(nullptr);
  QSignalSpy changes(&view_, &View::state_changed);
  for (QAction* action : view_.commands()) action->trigger();
  wheel({100, 100}, 120, Qt::ControlModifier);
  EXPECT_EQ(changes.count(), 0);
  EXPECT_FALSE(view_.picture(300, 200).texts.empty());
}

}  // namespace
}  // namespace shardscope::gui
