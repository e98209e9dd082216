#include "gui/models/app_state.h"

#include <gmock/gmock.h>

#include "core/error.h"

namespace shardscope::gui {
namespace {

AppState sample() {
  AppState state;
  state.files = {"/tmp/a b.db"};
  state.run = "4f2a";
  state.view = "timeline";
  state.views["timeline"] = QJsonObject{{"version", 1}, {"search", "matmul #1 & \"x\""}};
  return state;
}

std::string problem(const QByteArray& text) {
  try {
    parse_app_state(text, "s.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(AppState, GoesToJsonAndBack) { EXPECT_EQ(parse_app_state(to_json(sample()), "s.json"), sample()); }

TEST(AppState, WhatIsWrongIsNamed) {
  EXPECT_THAT(problem("[1]"), ::testing::HasSubstr("s.json: not a saved view"));
  EXPECT_THAT(problem(R"({"version": 2})"), ::testing::HasSubstr("version"));
  EXPECT_THAT(problem(R"({"files": "a"})"), ::testing::HasSubstr("files"));
  EXPECT_THAT(problem(R"({"views": {"timeline": 3}})"), ::testing::HasSubstr("views: timeline"));
  EXPECT_THAT(problem(R"({"colour": "red"})"), ::testing::HasSubstr("colour is not a key"));
}

TEST(AppState, ALinkNamesTheRunAndNoFile) {
  const QString link = to_link(sample());
  EXPECT_TRUE(link.startsWith("shardscope://open?run=4f2a#")) << link.toStdString();
  EXPECT_FALSE(link.contains("tmp"));
  EXPECT_FALSE(link.contains(' '));
  AppState expected = sample();
  expected.files.clear();
  EXPECT_EQ(parse_link(link), expected);
  for (const char* bad : {"http://open?run=1", "shardscope://close?run=1", "shardscope://open?run=1#[", ""})
    EXPECT_THROW(parse_link(bad), Error) << bad;
  EXPECT_EQ(parse_link("shardscope://open?run=9").run, "9");
}

TEST(StateHistory, UndoGoesBackGestureByGestureAcrossViews) {
  const auto at = [](int n) { return QJsonObject{{"n", n}}; };
  StateHistory history;
  history.start("a", at(0));
  history.start("b", at(0));
  EXPECT_EQ(history.undo(), nullptr);
  history.push("a", at(1), 7);
  history.push("a", at(2), 7);
  history.push("b", at(5), 7);  // another view, whatever its number
  history.push("b", at(5), 0);  // no change
  ASSERT_TRUE(history.can_undo());
  const StateHistory::Step* step = history.undo();
  EXPECT_EQ(step->view, "b");
  EXPECT_EQ(step->state, at(0));
  step = history.undo();
  EXPECT_EQ(step->view, "a");
  EXPECT_EQ(step->state, at(0));
  EXPECT_EQ(history.redo()->state, at(2));
  history.push("a", at(9), 0);
  EXPECT_FALSE(history.can_redo()) << "what was undone is gone";
}

TEST(Fuzzy, InitialsAndPartsFindWhatIsMeant) {
  EXPECT_LT(fuzzy_score("xyz", "Zoom in"), 0);
  EXPECT_GT(fuzzy_score("zin", "Zoom in"), fuzzy_score("zin", "Resized wins"));
  EXPECT_GT(fuzzy_score("pal", "Command palette"), fuzzy_score("pal", "Previous op of the lane"));
  EXPECT_GE(fuzzy_score("", "anything"), -100);
  EXPECT_GT(fuzzy_score("next st", "Next step"), fuzzy_score("next st", "Next op of the lane, steady"));
}

}  // namespace
}  // namespace shardscope::gui
