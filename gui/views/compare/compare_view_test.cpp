// The three views of two runs: what they show of a profile, each of their keys and what they say without one.

#include "gui/views/compare/compare_view.h"

#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QComboBox>
#include <QSignalSpy>
#include <QTableView>
#include <QWheelEvent>
#include <QtTest>

#include "core/error.h"
#include "gui/models/two_runs_for_test.h"
#include "gui/views/compare/scatter_view.h"
#include "gui/views/compare/waterfall_view.h"

namespace shardscope::gui {
namespace {

constexpr int kPatienceMs = 20'000;

class PairViews : public ::testing::Test {
 protected:
  PairViews() {
    testing::record_two_runs(path_);
    session_ = std::make_shared<Session>(make_session({path_}, load_summaries({path_})));
    context_.set_session = [this](const Session& session) { asked_ = session; };
  }
  template <class V>
  std::unique_ptr<V> open(std::shared_ptr<const Session> session) {
    auto view = std::make_unique<V>(context_);
    view->resize(1200, 800);
    view->show_session(std::move(session));
    view->show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(view.get()));
    view->activateWindow();
    EXPECT_TRUE(QTest::qWaitForWindowActive(view.get()));
    canvas(*view)->setFocus();
    return view;
  }
  static PictureCanvas* canvas(View& view) { return view.findChild<PictureCanvas*>("canvas"); }
  bool quiet() {
    return QTest::qWaitFor([this] { return !pool_.busy(); }, kPatienceMs);
  }
  static bool has_rows(View& view) {
    return QTest::qWaitFor([&] { return view.table()->rowCount() > 0; }, kPatienceMs);
  }
  static bool says(const View& view, const char* text) {
    for (const std::string& t : view.picture(1200, 700).texts) {
      if (t.find(text) != std::string::npos) return true;
    }
    return false;
  }
  static QJsonArray window_of(const View& view) { return view.state()["window_ns"].toArray(); }
  static void turn(PictureCanvas* canvas, int steps, Qt::KeyboardModifiers keys) {
    const QPointF at(canvas->width() * 0.5, 150);
    QWheelEvent event(at, canvas->mapToGlobal(at), {}, {0, steps}, Qt::NoButton, keys, Qt::NoScrollPhase, false);
    QCoreApplication::sendEvent(canvas, &event);
  }

  shardscope::testing::TempFolder folder_;
  std::string path_ = folder_.file("run.db");
  QueryPool pool_;
  SharedSelection selection_;
  ViewContext context_{pool_, selection_};
  std::shared_ptr<const Session> session_;
  std::optional<Session> asked_;
};

TEST_F(PairViews, WithoutARunEachSaysWhatToDo) {
  EXPECT_TRUE(says(*open<CompareView>(nullptr), "Ctrl+O"));
  EXPECT_TRUE(says(*open<WaterfallView>(nullptr), "Ctrl+O"));
  EXPECT_TRUE(says(*open<ScatterView>(nullptr), "Ctrl+O"));
}

TEST_F(PairViews, OneRunOnlyIsSaid) {
  const std::string path = folder_.file("one.db");
  shardscope::testing::record_tiny_profile(path, "alone", 3);
  const auto one = std::make_shared<Session>(make_session({path}, load_summaries({path})));
  EXPECT_TRUE(says(*open<CompareView>(one), "one run only"));
  EXPECT_TRUE(says(*open<WaterfallView>(one), "no prediction of alone"));
  EXPECT_TRUE(says(*open<ScatterView>(one), "no prediction of alone"));
}

TEST_F(PairViews, RunsThatShareNothingAreSaid) {
  const std::string path = folder_.file("none.db");
  shardscope::testing::record_tiny_profile(path, "stopped", 0);
  const auto both = std::make_shared<Session>(make_session({path_, path}, load_summaries({path_, path})));
  Session session = *both;
  session.b = session.runs.size() - 1;
  const auto view = open<CompareView>(std::make_shared<Session>(session));
  ASSERT_TRUE(quiet());
  EXPECT_TRUE(says(*view, "has no finished step"));
  EXPECT_EQ(view->table()->rowCount(), 0);
}

TEST_F(PairViews, CompareShowsBothRuns) {
  const auto view = open<CompareView>(session_);
  QAbstractItemModelTester tester(view->table(), QAbstractItemModelTester::FailureReportingMode::Fatal);
  ASSERT_TRUE(has_rows(*view) && quiet());
  EXPECT_TRUE(says(*view, "B against A:"));
  EXPECT_TRUE(says(*view, "A  compute"));
  EXPECT_EQ(view->table()->rowCount(), 6);
  EXPECT_EQ(view->findChildren<QComboBox*>()[1]->currentText(), "after");
}

TEST_F(PairViews, EachKeyOfCompare) {
  const auto view = open<CompareView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  QSignalSpy changes(view.get(), &View::state_changed);
  const auto length = [&] {
    const QJsonArray window = window_of(*view);
    return window.isEmpty() ? 1e18 : window[1].toDouble() - window[0].toDouble();
  };
  for (const auto& [in, out] : {std::pair(Qt::Key_W, Qt::Key_S),
                                {Qt::Key_Up, Qt::Key_Down},
                                {Qt::Key_I, Qt::Key_K},
                                {Qt::Key_Plus, Qt::Key_Minus}}) {
    QTest::keyClick(canvas(*view), in);
    const double near = length();
    QTest::keyClick(canvas(*view), in);
    EXPECT_LT(length(), near) << in;
    QTest::keyClick(canvas(*view), out);
    EXPECT_GT(length(), near * 0.9) << out;
  }
  for (const auto& [earlier, later] :
       {std::pair(Qt::Key_A, Qt::Key_D), {Qt::Key_Left, Qt::Key_Right}, {Qt::Key_J, Qt::Key_L}}) {
    const double begin = window_of(*view)[0].toDouble();
    QTest::keyClick(canvas(*view), earlier);
    EXPECT_LT(window_of(*view)[0].toDouble(), begin) << earlier;
    QTest::keyClick(canvas(*view), later);
    EXPECT_NEAR(window_of(*view)[0].toDouble(), begin, 2) << later;
  }
  QTest::keyClick(canvas(*view), Qt::Key_0);
  EXPECT_TRUE(window_of(*view).isEmpty()) << "all of it";
  QTest::keyClick(canvas(*view), Qt::Key_BracketRight);
  const double first = view->state()["cursor_ns"].toDouble();
  QTest::keyClick(canvas(*view), Qt::Key_BracketRight);
  EXPECT_GT(view->state()["cursor_ns"].toDouble(), first);
  QTest::keyClick(canvas(*view), Qt::Key_BracketLeft);
  EXPECT_EQ(view->state()["cursor_ns"].toDouble(), first);
  QTest::keyClick(canvas(*view), Qt::Key_Escape);
  EXPECT_FALSE(view->state().contains("cursor_ns"));
  QTest::keyClick(canvas(*view), Qt::Key_M);
  EXPECT_EQ(view->state()["mode"].toString(), "stages");
  EXPECT_GT(changes.count(), 20);
  EXPECT_EQ(view->commands().size(), 9) << "a key that this test does not know";
}

TEST_F(PairViews, DifferencesEnd) {
  const auto view = open<CompareView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  QSignalSpy problems(view.get(), &View::problem);
  for (int i = 0; i < 40; ++i) QTest::keyClick(canvas(*view), Qt::Key_BracketRight);
  EXPECT_TRUE(problems.last().first().toString().startsWith("No further op differs"));
}

TEST_F(PairViews, TheWheelZoomsOrPans) {
  const auto view = open<CompareView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  QSignalSpy changes(view.get(), &View::state_changed);
  turn(canvas(*view), 120, Qt::ControlModifier);
  turn(canvas(*view), 120, Qt::ControlModifier);
  ASSERT_EQ(changes.count(), 2);
  EXPECT_EQ(changes[0][0], changes[1][0]) << "one gesture";
  const double begin = window_of(*view)[0].toDouble();
  turn(canvas(*view), -120, Qt::ShiftModifier);
  EXPECT_GT(window_of(*view)[0].toDouble(), begin);
  turn(canvas(*view), 120, Qt::NoModifier);
  EXPECT_EQ(changes.count(), 3) << "neither";
}

TEST_F(PairViews, ADragLooksAtItsStretchAndWithShiftMoves) {
  const auto view = open<CompareView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  PictureCanvas* on = canvas(*view);
  const auto drag = [&](int from, int to, Qt::KeyboardModifiers keys) {
    QTest::mousePress(on, Qt::LeftButton, keys, {from, 150});
    QMouseEvent move(QEvent::MouseMove, QPointF(to, 150), on->mapToGlobal(QPointF(to, 150)), Qt::NoButton,
                     Qt::LeftButton, keys);
    QCoreApplication::sendEvent(on, &move);
    QTest::mouseRelease(on, Qt::LeftButton, keys, {to, 150});
  };
  drag(400, 600, Qt::NoModifier);
  const QJsonArray near = window_of(*view);
  ASSERT_EQ(near.size(), 2);
  drag(400, 300, Qt::ShiftModifier);
  EXPECT_GT(window_of(*view)[0].toDouble(), near[0].toDouble());
  EXPECT_NEAR(window_of(*view)[1].toDouble() - window_of(*view)[0].toDouble(), near[1].toDouble() - near[0].toDouble(),
              1);
  QTest::mouseClick(on, Qt::LeftButton, {}, {500, 150});
  EXPECT_TRUE(view->state().contains("cursor_ns"));
  EXPECT_TRUE(selection_.step()) << "the other views go to this step";
  QTest::mouseDClick(on, Qt::LeftButton, {}, {500, 150});
  EXPECT_NE(window_of(*view), near);
}

TEST_F(PairViews, AChosenRowShowsItsDurations) {
  const auto view = open<CompareView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  auto* rows = view->findChild<QTableView*>("table");
  rows->sortByColumn(0, Qt::AscendingOrder);
  rows->setCurrentIndex(view->table()->index(0, 0));
  ASSERT_TRUE(quiet());
  EXPECT_EQ(view->state()["op"].toObject()["kind"].toString(), "adam");
  EXPECT_TRUE(says(*view, "Executions of adam"));
}

TEST_F(PairViews, TheOtherRunIsTheWindowsToChange) {
  const auto view = open<CompareView>(session_);
  auto* other = view->findChildren<QComboBox*>()[1];
  ASSERT_EQ(other->count(), 2) << "all but A";
  other->setCurrentIndex(0);
  Q_EMIT other->activated(0);
  ASSERT_TRUE(asked_);
  EXPECT_TRUE(asked_->run(asked_->b)->run.predicted);
}

TEST_F(PairViews, StagesOfTheOpenRunsAndPredictedOnes) {
  const auto view = open<CompareView>(session_);
  view->restore({{"mode", "stages"}});
  ASSERT_TRUE(quiet());
  EXPECT_EQ(view->table()->rowCount(), 2) << "the measured ones";
  EXPECT_TRUE(says(*view, "tokens/s"));
  view->restore({{"mode", "predicted stages"}});
  ASSERT_TRUE(quiet());
  EXPECT_TRUE(says(*view, "was recorded without its job")) << "the tiny run is nobody's job";
}

TEST_F(PairViews, StatesComeBackAndWrongKeysAreNamed) {
  const auto view = open<CompareView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  QTest::keyClick(canvas(*view), Qt::Key_W);
  const QJsonObject state = view->state();
  QTest::keyClick(canvas(*view), Qt::Key_0);
  view->restore(state);
  EXPECT_EQ(view->state(), state);
  EXPECT_THROW(view->restore({{"zoom", 2}}), Error);
  EXPECT_EQ(view->state(), state) << "nothing of a wrong state is taken";
  EXPECT_THROW(open<WaterfallView>(session_)->restore({{"zoom", 2}}), Error);
  EXPECT_THROW(open<ScatterView>(session_)->restore({{"zoom", 2}}), Error);
}

TEST_F(PairViews, AStateBringsItsRunBack) {
  const auto view = open<CompareView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  context_.set_session = [&](const Session& session) { view->show_session(std::make_shared<Session>(session)); };
  view->restore({{"against", "2"}, {"window_ns", QJsonArray{1000, 500000}}});
  ASSERT_TRUE(quiet());
  EXPECT_EQ(view->state()["against"].toString(), "2") << "the prediction";
  EXPECT_EQ(view->findChildren<QComboBox*>()[1]->currentText(), "before (predicted)");
  EXPECT_EQ(window_of(*view).size(), 2);
  view->restore({{"against", "no such run"}});
  EXPECT_EQ(view->state()["against"].toString(), "2") << "B stays";
}

TEST_F(PairViews, ChoosingRowsElsewhereKeepsWhatIsLookedAt) {
  const auto view = open<CompareView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  QTest::keyClick(canvas(*view), Qt::Key_W);
  Session chosen = *session_;
  chosen.chosen = {0, 2};
  const QJsonArray before = window_of(*view);
  view->show_session(std::make_shared<Session>(chosen));
  EXPECT_EQ(window_of(*view), before);
  ASSERT_TRUE(quiet());
  EXPECT_TRUE(says(*view, "B against A:"));
}

TEST_F(PairViews, EachKeyOfTheWaterfall) {
  const auto view = open<WaterfallView>(session_);
  QAbstractItemModelTester tester(view->table(), QAbstractItemModelTester::FailureReportingMode::Fatal);
  ASSERT_TRUE(has_rows(*view) && quiet());
  EXPECT_TRUE(says(*view, "longer than its prediction"));
  QTest::keyClick(canvas(*view), Qt::Key_Period);
  QTest::keyClick(canvas(*view), Qt::Key_Right);
  EXPECT_EQ(view->state()["step"].toInt(), 1);
  ASSERT_TRUE(quiet());
  EXPECT_TRUE(says(*view, "step 1, mean of 2 ranks"));
  QTest::keyClick(canvas(*view), Qt::Key_Comma);
  QTest::keyClick(canvas(*view), Qt::Key_Left);
  EXPECT_FALSE(view->state().contains("step"));
  QTest::keyClick(canvas(*view), Qt::Key_P);
  ASSERT_TRUE(quiet());
  EXPECT_TRUE(says(*view, "than after"));
  EXPECT_EQ(view->state()["against"].toString(), "after");
  QTest::keyClick(canvas(*view), Qt::Key_Period);
  QTest::keyClick(canvas(*view), Qt::Key_0);
  EXPECT_FALSE(view->state().contains("step"));
  EXPECT_EQ(view->commands().size(), 4) << "a key that this test does not know";
  selection_.set_step(3);
  EXPECT_EQ(view->state()["step"].toInt(), 3) << "the step that is selected elsewhere";
  ASSERT_TRUE(quiet());
}

TEST_F(PairViews, TheScatterIsSortedChosenAndFiltered) {
  const auto view = open<ScatterView>(session_);
  QAbstractItemModelTester tester(view->table(), QAbstractItemModelTester::FailureReportingMode::Fatal);
  ASSERT_TRUE(has_rows(*view) && quiet());
  EXPECT_TRUE(says(*view, "Calibration of before"));
  view->findChild<QTableView*>("table")->setCurrentIndex(view->table()->index(1, 0));
  EXPECT_FALSE(view->state()["op"].toString().isEmpty());
  QTest::keyClick(canvas(*view), Qt::Key_F);
  EXPECT_EQ(view->state()["family"].toString(), "matrix products");
  QTest::keyClick(canvas(*view), Qt::Key_Escape);
  EXPECT_FALSE(view->state().contains("family") || view->state().contains("op"));
  EXPECT_EQ(view->commands().size(), 2) << "a key that this test does not know";
}

TEST_F(PairViews, DarkIsDrawnDark) {
  const auto view = open<ScatterView>(session_);
  ASSERT_TRUE(has_rows(*view) && quiet());
  const Rgb light = view->picture(300, 200).background;
  view->set_dark(true);
  EXPECT_NE(view->picture(300, 200).background, light);
}

}  // namespace
}  // namespace shardscope::gui
