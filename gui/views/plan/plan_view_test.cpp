// The Plan tab as a user meets it, without a display.

#include "gui/views/plan/plan_view.h"

#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QCheckBox>
#include <QComboBox>
#include <QFile>
#include <QJsonArray>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QPushButton>
#include <QSignalSpy>
#include <QSlider>
#include <QTableView>
#include <QTest>
#include <QToolButton>

#include "core/error.h"
#include "gui/views/plan/number_input.h"
#include "gui/views/plan/plan_canvas.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {
namespace {

constexpr int kPatience = 20000;  // milliseconds, for a search on a busy machine

class PlanViewTest : public ::testing::Test {
 protected:
  PlanViewTest() {
    context_.open = [this](const std::string& path) { opened_.push_back(path); };
    context_.show = [this](const std::string& view) { shown_.push_back(view); };
    view_ = std::make_unique<PlanView>(context_);
    view_->resize(1400, 900);
    QJsonObject small{{"model", "gpt2"}, {"tokens", 1e9}, {"min_gpus", 8}, {"max_gpus", 32}};
    small["seq"] = 512, small["global_batch"] = 64;
    QSignalSpy searched(view_.get(), &PlanView::searched);
    view_->restore(small);
    view_->show();
    EXPECT_TRUE(searched.wait(kPatience));
    canvas_ = view_->findChild<PlanCanvas*>("canvas");
  }

  template <class T>
  T* find(const char* name) const {
    T* found = view_->findChild<T*>(QString::fromLatin1(name));
    EXPECT_NE(found, nullptr) << name;
    return found;
  }

  /// Does something, and waits for the search that follows.
  template <class F>
  void after_search(F change) {
    QSignalSpy searched(view_.get(), &PlanView::searched);
    change();
    EXPECT_TRUE(searched.wait(kPatience));
  }

  const PlanDot* chosen() const { return chosen_dot(view_->result(), view_->plan_state()); }

  /// Chips and table: what a change must show in.
  QStringList all_said() const {
    QStringList said;
    for (const QPushButton* chip : find<QWidget>("chips")->findChildren<QPushButton*>()) said << chip->text();
    for (int row = 0; row < view_->table()->rowCount(); ++row) {
      for (int column = 0; column < PlanTable::kColumns; ++column)
        said << view_->table()->index(row, column).data().toString();
    }
    return said;
  }

  QPoint place_of(std::size_t dot) const {
    const Point p = canvas_->layout_now().places[dot];
    return {static_cast<int>(p.x), static_cast<int>(p.y)};
  }

  QueryPool pool_;
  SharedSelection selection_;
  ViewContext context_{pool_, selection_};
  std::vector<std::string> opened_, shown_;
  std::unique_ptr<PlanView> view_;
  PlanCanvas* canvas_ = nullptr;
};

TEST_F(PlanViewTest, ShowsAFrontAndItsTable) {
  EXPECT_TRUE(view_->result().recommended);
  EXPECT_EQ(view_->table()->rowCount(), static_cast<int>(view_->result().dots.size()));
  const QAbstractItemModelTester tester(view_->table(), QAbstractItemModelTester::FailureReportingMode::Fatal);
  EXPECT_FALSE(view_->picture(1200, 600).shapes.empty());
  EXPECT_TRUE(find<QLabel>("note")->text().contains("plans searched"));
}

TEST_F(PlanViewTest, EverySliderRedrawsAtOnceAndSearches) {
  for (const char* name : {"tokens", "seq", "global_batch", "min_gpus", "max_gpus", "nic_gbps", "usd_per_gpu_hour",
                           "deadline_days", "budget_usd"}) {
    auto* number = find<NumberInput>(name);
    if (number->box() != nullptr && !number->box()->isChecked()) after_search([&] { number->box()->click(); });
    const PlanInputs before = view_->plan_state().inputs;
    const QStringList drawn = all_said();
    QSignalSpy changed(view_.get(), &View::state_changed);
    after_search([&] {
      number->slider()->setFocus();
      QTest::keyClick(number->slider(), Qt::Key_Right);
      QTest::keyClick(number->slider(), Qt::Key_Right);
      QTest::keyClick(number->slider(), Qt::Key_PageUp);
    });
    EXPECT_FALSE(view_->plan_state().inputs == before) << name;
    EXPECT_GE(changed.size(), 1) << name;
    EXPECT_NE(all_said(), drawn) << name;
    view_->restore({{"model", "gpt2"}, {"tokens", 1e9}, {"seq", 512}, {"global_batch", 64}, {"max_gpus", 32}});
    EXPECT_EQ(number->value(), std::string(name) == "tokens"         ? 1e9
                               : std::string(name) == "seq"          ? 512
                               : std::string(name) == "global_batch" ? 64
                               : std::string(name) == "min_gpus"     ? 8
                               : std::string(name) == "max_gpus"     ? 32
                                                                     : 0);
  }
}

TEST_F(PlanViewTest, ADragIsOneGesture) {
  auto* slider = find<NumberInput>("tokens")->slider();
  QSignalSpy changed(view_.get(), &View::state_changed);
  slider->setSliderDown(true);
  for (const int at : {60, 70, 80}) slider->setSliderPosition(at), slider->setValue(at);
  slider->setSliderDown(false);
  ASSERT_EQ(changed.size(), 3);
  EXPECT_NE(changed[0][0].toInt(), 0);
  EXPECT_EQ(changed[0][0].toInt(), changed[2][0].toInt());
  slider->setValue(90);
  EXPECT_NE(changed[3][0].toInt(), changed[2][0].toInt());
}

TEST_F(PlanViewTest, EveryChoiceFixesItsSize) {
  const auto choose = [&](const char* name, const char* text) {
    after_search([&] { find<QComboBox>(name)->setCurrentText(QString::fromLatin1(text)); });
  };
  choose("zero", "1"), choose("tp", "2"), choose("pp", "1"), choose("micro_batch", "2");
  choose("recompute", "full"), choose("offload", "none"), choose("objective", "time"), choose("precision", "fp16");
  const PlanInputs& in = view_->plan_state().inputs;
  EXPECT_EQ(in.objective, Objective::kTime);
  EXPECT_EQ(in.precision, "fp16");
  ASSERT_FALSE(view_->result().dots.empty());
  for (const PlanDot& d : view_->result().dots) {
    EXPECT_EQ(d.point.plan.zero, 1);
    EXPECT_EQ(d.point.plan.tp, 2);
    EXPECT_EQ(d.point.plan.micro_batch, 2);
    EXPECT_EQ(d.point.plan.recompute, Recompute::kFull);
  }
  EXPECT_NE(view_->findChild<QPushButton*>("chip_2"), nullptr) << "tp has a chip";
  choose("tp", "search");
  EXPECT_FALSE(view_->plan_state().inputs.tp);
}

TEST_F(PlanViewTest, KindsOfGpusAreAList) {
  auto* menu = find<QToolButton>("gpus")->menu();
  ASSERT_NE(menu, nullptr);
  for (QAction* action : menu->actions()) {
    if (action->text() == "b200") after_search([&] { action->trigger(); });
  }
  EXPECT_EQ(view_->plan_state().inputs.gpus, (std::vector<std::string>{"h100-sxm", "b200"}));
  EXPECT_EQ(find<QToolButton>("gpus")->text(), "h100-sxm, b200");
}

TEST_F(PlanViewTest, TextsTakeUnitsAndIgnoreNonsense) {
  auto* tokens = find<NumberInput>("tokens");
  const auto type = [&](const char* text) {
    tokens->text()->setText(QString::fromLatin1(text));
    Q_EMIT tokens->text()->editingFinished();
  };
  type("2.5T");
  EXPECT_EQ(view_->plan_state().inputs.tokens, 2.5e12);
  for (const char* bad : {"", "many", "-3", "0", "1e999", "nan", "inf"}) {
    type(bad);
    EXPECT_EQ(view_->plan_state().inputs.tokens, 2.5e12) << bad;
    EXPECT_EQ(tokens->text()->text(), "2.5T") << bad;
  }
  EXPECT_EQ(parse_number("250K"), 250e3);
  EXPECT_EQ(format_number(12345, true), "12345");
  EXPECT_EQ(format_number(4096, true), "4096");
  EXPECT_EQ(format_number(1e6, false), "1M");
}

TEST_F(PlanViewTest, PointingSaysWhatAndAClickChooses) {
  const std::size_t dot = 0;
  QTest::mouseMove(canvas_, place_of(dot));
  QSignalSpy changed(view_.get(), &View::state_changed);
  QTest::mouseClick(canvas_, Qt::LeftButton, {}, place_of(dot));
  ASSERT_NE(chosen(), nullptr);
  ASSERT_TRUE(view_->plan_state().chosen);
  const auto hit = static_cast<std::size_t>(chosen() - view_->result().dots.data());
  EXPECT_NEAR(place_of(hit).x(), place_of(dot).x(), 12) << "marks may lie on each other";
  EXPECT_LE(changed.size(), 1);
  EXPECT_TRUE(canvas_->accessibleDescription().startsWith("Chosen: "));
}

TEST_F(PlanViewTest, ArrowKeysWalkTheMarks) {
  view_->choose(*view_->result().recommended);
  canvas_->setFocus();
  const PlanDot* before = chosen();
  bool moved = false;
  for (const int key : {Qt::Key_Left, Qt::Key_Right, Qt::Key_Up, Qt::Key_Down}) {
    QTest::keyClick(canvas_, static_cast<Qt::Key>(key));
    moved = moved || chosen() != before;
  }
  EXPECT_TRUE(moved);
  QTest::keyClick(canvas_, Qt::Key_Home);
  EXPECT_EQ(chosen(), &view_->result().dots[*view_->result().recommended]);
}

TEST_F(PlanViewTest, PinsStayOnTopAndInTheState) {
  canvas_->setFocus();
  view_->choose(view_->result().dots.size() - 1);
  const PlanKey key = *view_->plan_state().chosen;
  QTest::keyClick(canvas_, Qt::Key_P);
  ASSERT_EQ(view_->plan_state().pinned, std::vector<PlanKey>{key});
  EXPECT_TRUE(view_->table()->index(0, PlanTable::kWhat).data().toString().startsWith("pinned"));
  after_search([&] { find<NumberInput>("tokens")->slider()->setValue(200); });
  EXPECT_NE(find_dot(view_->result(), key), nullptr);
  QTest::keyClick(canvas_, Qt::Key_P);
  EXPECT_TRUE(view_->plan_state().pinned.empty());
}

TEST_F(PlanViewTest, KeysMakeWishesOfTheChosen) {
  canvas_->setFocus();
  after_search([&] { QTest::keyClick(canvas_, Qt::Key_D); });
  after_search([&] { QTest::keyClick(canvas_, Qt::Key_B); });
  EXPECT_NEAR(view_->plan_state().inputs.deadline_days, chosen()->point.run.days, 1e-3 * chosen()->point.run.days);
  EXPECT_TRUE(chosen()->meets);
  QTest::keyClick(canvas_, Qt::Key_R);
  EXPECT_TRUE(view_->plan_state().chosen);
}

TEST_F(PlanViewTest, AChipThatBlocksSaysSoAndFrees) {
  after_search([&] { find<QComboBox>("tp")->setCurrentText("8"); });  // gpt2 has 12 heads
  EXPECT_FALSE(view_->result().recommended);
  auto* chip = find<QPushButton>("chip_2");
  ASSERT_NE(chip, nullptr);
  EXPECT_TRUE(chip->text().contains("tp 8 blocks; without: ")) << chip->text().toStdString();
  after_search([&] { chip->click(); });
  EXPECT_TRUE(view_->result().recommended);
  EXPECT_EQ(find<QComboBox>("tp")->currentText(), "search");
}

TEST_F(PlanViewTest, WhatCannotBeIsSaidAndGoesAway) {
  auto* model = find<QComboBox>("model");
  QSignalSpy problem(view_.get(), &View::problem);
  model->setCurrentText("no-such-model");
  Q_EMIT model->lineEdit()->editingFinished();
  ASSERT_FALSE(problem.isEmpty());
  EXPECT_TRUE(problem.last()[0].toString().contains("no-such-model"));
  EXPECT_NE(view_->picture(900, 500).texts.size(), 0U);
  after_search([&] {
    model->setCurrentText("gpt2");
    Q_EMIT model->lineEdit()->editingFinished();
  });
  EXPECT_TRUE(problem.last()[0].toString().isEmpty());
  EXPECT_TRUE(view_->result().recommended);
}

TEST_F(PlanViewTest, AModelThatFitsNowhereIsAnAnswer) {
  QJsonObject state{{"model", "bloom"}, {"min_gpus", 8}, {"max_gpus", 8}, {"usd_per_gpu_hour", 1}};
  state["gpus"] = QJsonArray{"rtx-4090-server"};
  state["frameworks"] = QJsonArray{"megatron"};
  after_search([&] { view_->restore(state); });
  EXPECT_FALSE(view_->result().recommended);
  EXPECT_FALSE(view_->result().problem.empty());
}

TEST_F(PlanViewTest, TheChosenIsSimulatedAndOpened) {
  QSignalSpy simulated(view_.get(), &PlanView::simulated);
  canvas_->setFocus();
  QTest::keyClick(canvas_, Qt::Key_Return);
  EXPECT_TRUE(find<QPushButton>("stop")->isVisible());
  ASSERT_TRUE(simulated.wait(kPatience));
  ASSERT_EQ(opened_.size(), 1U);
  EXPECT_TRUE(QFile::exists(QString::fromStdString(opened_[0])));
  EXPECT_EQ(shown_, std::vector<std::string>{"timeline"});
  EXPECT_FALSE(find<QPushButton>("stop")->isVisible());
  EXPECT_TRUE(find<QLabel>("note")->text().startsWith("Simulated"));
}

TEST_F(PlanViewTest, ASimulationCanBeStopped) {
  find<QPushButton>("open_simulated")->click();
  find<QPushButton>("stop")->click();
  EXPECT_TRUE(find<QLabel>("note")->text().contains("stopped"));
  QTest::qWait(100);
  EXPECT_TRUE(opened_.empty());
  EXPECT_TRUE(find<QPushButton>("open_simulated")->isEnabled());
}

TEST_F(PlanViewTest, ScenariosAreSavedLoadedAndReset) {
  const QTemporaryDir folder;
  const std::string path = folder.filePath("s.json").toStdString();
  after_search([&] { find<QComboBox>("zero")->setCurrentText("3"); });
  const PlanState saved = view_->plan_state();
  view_->save_scenario(path);
  for (QAction* action : view_->commands()) {
    if (action->text().startsWith("Reset")) after_search([&] { action->trigger(); });
  }
  EXPECT_EQ(view_->plan_state().inputs, PlanInputs());
  after_search([&] { view_->load_scenario(path); });
  EXPECT_EQ(view_->plan_state(), saved);
  EXPECT_THROW(view_->load_scenario(folder.filePath("none.json").toStdString()), Error);
  EXPECT_THROW(view_->save_scenario("/proc/none/s.json"), Error);
  EXPECT_THROW(view_->restore({{"zero", 7}}), Error);
  EXPECT_EQ(view_->plan_state(), saved) << "what is wrong changes nothing";
}

TEST_F(PlanViewTest, FilesOfTheChosenAreExported) {
  const QTemporaryDir folder;
  view_->export_to(folder.path().toStdString());
  for (const char* name : {"ds_config.json", "job.json", "launch.sh"}) {
    EXPECT_TRUE(QFile::exists(folder.filePath(QString::fromLatin1(name)))) << name;
  }
}

TEST_F(PlanViewTest, TheTableChoosesAndSorts) {
  auto* rows = find<QTableView>("rows");
  const std::size_t other = *view_->result().recommended == 2 ? 1 : 2;
  rows->selectRow(static_cast<int>(other));
  EXPECT_EQ(view_->plan_state().chosen, key_of(view_->result().request, view_->result().dots[other].point));
  rows->sortByColumn(PlanTable::kCost, Qt::DescendingOrder);
  EXPECT_EQ(view_->plan_state().sort_column, PlanTable::kCost);
  EXPECT_TRUE(view_->plan_state().descending);
}

TEST_F(PlanViewTest, EverythingHasAKeyAndAName) {
  for (const QAction* action : view_->commands()) {
    EXPECT_FALSE(action->shortcut().isEmpty()) << action->text().toStdString();
  }
  for (const QWidget* widget : view_->findChildren<QWidget*>()) {
    if (widget->focusPolicy() == Qt::NoFocus || !widget->isVisible()) continue;
    const auto* button = qobject_cast<const QAbstractButton*>(widget);
    const bool inside = qobject_cast<const QComboBox*>(widget->parentWidget()) != nullptr;
    if (inside || widget->inherits("QHeaderView") || widget->focusProxy() != nullptr) continue;
    EXPECT_TRUE(!widget->accessibleName().isEmpty() || (button != nullptr && !button->text().isEmpty()))
        << widget->metaObject()->className() << " " << widget->objectName().toStdString();
  }
}

TEST_F(PlanViewTest, DarkIsTheWindowsNotTheScenarios) {
  view_->set_dark(true);
  const Rgb dark = view_->picture(600, 400).background;
  after_search([&] { view_->restore({{"model", "gpt2"}, {"dark", false}}); });
  EXPECT_EQ(view_->picture(600, 400).background, dark);
}

}  // namespace
}  // namespace shardscope::gui
