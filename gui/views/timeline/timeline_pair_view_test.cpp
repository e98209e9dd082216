// A run's prediction under its lanes, in the window's timeline.

#include <gtest/gtest.h>

#include <QtTest>

#include "gui/models/two_runs_for_test.h"
#include "gui/views/timeline/timeline_view.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {
namespace {

constexpr int kPatienceMs = 20'000;

bool says(const View& view, const std::string& text) {
  for (const std::string& t : view.picture(1200, 700).texts) {
    if (t.find(text) != std::string::npos) return true;
  }
  return false;
}

TEST(TimelinePairView, ThePredictionLiesUnderTheLanesUntilItIsHidden) {
  const shardscope::testing::TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_two_runs(path);
  QueryPool pool;
  SharedSelection selection;
  ViewContext context{pool, selection};
  TimelineView view(context);
  view.resize(1200, 700);
  view.show_session(std::make_shared<Session>(make_session({path}, load_summaries({path}))));
  view.show();
  ASSERT_TRUE(QTest::qWaitFor([&] { return view.is_loaded() && says(view, "slip +"); }, kPatienceMs));
  EXPECT_TRUE(says(view, "below: predicted"));
  for (QAction* action : view.commands()) {
    if (action->shortcut() == QKeySequence(Qt::Key_O)) action->trigger();
  }
  EXPECT_FALSE(view.state()["prediction"].toBool(true));
  EXPECT_TRUE(QTest::qWaitFor([&] { return view.is_loaded() && !says(view, "slip +"); }, kPatienceMs));
  Session after = make_session({path}, load_summaries({path}));
  view.show_session(std::make_shared<Session>(with_a(after, 2)));
  EXPECT_TRUE(QTest::qWaitFor([&] { return view.is_loaded(); }, kPatienceMs));
  EXPECT_FALSE(says(view, "below: predicted")) << "a run without one";
}

}  // namespace
}  // namespace shardscope::gui
