#include "gui/models/session.h"

#include <gtest/gtest.h>

#include "gui/models/sample_runs.h"

namespace shardscope::gui {
namespace {

TEST(Session, AIsTheFirstMeasuredRunWithItsPredictionAndBTheNext) {
  const Session session = make_session({"sample.db"}, sample_runs());
  EXPECT_EQ(session.a, 0U);
  EXPECT_EQ(session.prediction, 1U);
  EXPECT_EQ(session.b, 2U);
  EXPECT_EQ(session.run(session.b)->run.name, "zero-3");
}

TEST(Session, OfOnlyPredictionsTheFirstIsA) {
  const Session session = make_session({"p.db"}, {sample_run(1, "x", true), sample_run(2, "y", true)});
  EXPECT_EQ(session.a, 0U);
  EXPECT_EQ(session.prediction, std::nullopt);
  EXPECT_EQ(session.b, std::nullopt);
}

TEST(Session, NothingOpenHasNoRuns) {
  const Session session = make_session({}, {});
  EXPECT_EQ(session.run(session.a), nullptr);
  EXPECT_TRUE(shown_runs(session).empty());
}

TEST(Session, AnotherAChangesPlacesWithB) {
  Session session = with_a(make_session({"sample.db"}, sample_runs()), 2);
  EXPECT_EQ(session.a, 2U);
  EXPECT_EQ(session.b, 0U);
  EXPECT_EQ(session.prediction, std::nullopt);
  session = with_a(std::move(session), 0);
  EXPECT_EQ(session.prediction, 1U);
  EXPECT_EQ(session.b, 2U);
}

TEST(Session, ChosenRunsAreShownElseAll) {
  Session session = make_session({"sample.db"}, sample_runs());
  EXPECT_EQ(shown_runs(session), (std::vector<std::size_t>{0, 1, 2}));
  session.chosen = {2};
  EXPECT_EQ(shown_runs(session), (std::vector<std::size_t>{2}));
}

}  // namespace
}  // namespace shardscope::gui
