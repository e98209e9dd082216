// The window against files as they come: profiles, and what only looks like one.

#include "gui/views/main_window.h"

#include <gtest/gtest.h>

#include <QApplication>
#include <QCheckBox>
#include <QFile>
#include <QLineEdit>
#include <QSignalSpy>
#include <QTableView>
#include <QTemporaryDir>
#include <QtTest>

#include "gui/models/runs_model.h"
#include "gui/views/stacked_bars.h"
#include "gui/views/timeline/timeline_canvas.h"
#include "gui/views/view.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

constexpr int kPatienceMs = 20'000;

std::string write_file(const QTemporaryDir& dir, const char* name, const QByteArray& content) {
  QFile file(dir.filePath(QString::fromLatin1(name)));
  EXPECT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(content);
  return file.fileName().toStdString();
}

/// The one message the window shows for a file.
QString message_for(MainWindow& window, const std::string& path) {
  QSignalSpy refused(&window, &MainWindow::refused);
  window.open({path});
  EXPECT_TRUE(refused.wait(kPatienceMs)) << path;
  EXPECT_EQ(refused.count(), 1);
  return window.message();
}

TEST(MainWindow, StartsEmptyAndSaysHowToGoOn) {
  MainWindow window;
  window.show();
  EXPECT_TRUE(QTest::qWaitForWindowExposed(&window));
  EXPECT_EQ(window.message(), "");
  EXPECT_EQ(window.findChild<QTableView*>("runs")->model()->rowCount(), 0);
  EXPECT_FALSE(window.findChild<StackedBars*>("steps")->chart().empty_text.empty());
}

TEST(MainWindow, OpensATraceOfAnotherProgram) {
  const QTemporaryDir dir;
  const std::string trace = write_file(dir, "trace.json",
                                       R"({"schemaVersion": 1, "traceEvents": [
        {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 10, "tid": 11, "ts": 100.0, "dur": 40.0, "args": {}},
        {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 120.5, "dur": 30.0,
         "args": {"device": 0, "stream": 7, "correlation": 3}}]})");
  MainWindow window;
  QSignalSpy opened(&window, &MainWindow::opened);
  window.open({trace});
  ASSERT_TRUE(opened.wait(kPatienceMs)) << window.message().toStdString();
  EXPECT_EQ(window.message(), "");
  EXPECT_TRUE(window.windowTitle().contains("trace.json")) << window.windowTitle().toStdString();
  EXPECT_EQ(window.findChild<QTableView*>("runs")->model()->rowCount(), 1);
  EXPECT_EQ(window.app_state().files, QStringList{QString::fromStdString(trace)}) << "not the profile it became";
  // What is no trace is refused, and the trace stays.
  EXPECT_TRUE(message_for(window, write_file(dir, "other.json", R"({"name": "no trace"})")).contains("other.json"));
  EXPECT_EQ(window.findChild<QTableView*>("runs")->model()->rowCount(), 1);
}

TEST(MainWindow, CallsWithinCallsHaveRowsAndALaunchItsArrow) {
  const QTemporaryDir dir;
  const std::string trace = write_file(dir, "nested.json",
                                       R"({"schemaVersion": 1, "traceEvents": [
        {"ph": "X", "cat": "cpu_op", "name": "aten::linear", "pid": 10, "tid": 11, "ts": 100.0, "dur": 40.0, "args": {}},
        {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 10, "tid": 11, "ts": 105.0, "dur": 20.0, "args": {}},
        {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 10, "tid": 11, "ts": 110.0, "dur": 5.0,
         "args": {"correlation": 3}},
        {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 120.5, "dur": 30.0,
         "args": {"device": 0, "stream": 7, "correlation": 3}}]})");
  MainWindow window;
  window.resize(1000, 700);
  window.show();
  QSignalSpy opened(&window, &MainWindow::opened);
  window.open({trace});
  ASSERT_TRUE(opened.wait(kPatienceMs)) << window.message().toStdString();
  window.show_view("timeline");
  auto* canvas = window.view("timeline")->findChild<TimelineCanvas*>();
  ASSERT_TRUE(QTest::qWaitFor([&] { return !window.busy() && canvas->scene().tile; }, kPatienceMs));
  int deepest = 0;
  for (const TimelineRow& row : canvas->scene().layout.rows) deepest = std::max(deepest, row.depth);
  EXPECT_EQ(deepest, 3);
  // The kernel is selected: an arrow comes from what launched it.
  window.view("timeline")->restore({{"version", 1}, {"view", "timeline"}, {"flow", 1}});
  const TimelineScene& scene = canvas->scene();
  for (std::size_t i = 0; i < scene.catalog->tracks.size(); ++i) {
    const TimelineTrack& track = scene.catalog->tracks[i];
    if (track.depth > 1) continue;
    for (const TimelineRow& row : scene.layout.rows) {
      if (row.tracks.front() != i) continue;
      const RowPlace place = scene.place_of(row);
      const int x = static_cast<int>(scene.x((track.extent.begin_ns + track.extent.end_ns) / 2));
      QTest::mouseClick(canvas, Qt::LeftButton, {}, {x, static_cast<int>(place.y + place.height / 2)});
      break;
    }
  }
  ASSERT_TRUE(QTest::qWaitFor([&] { return canvas->scene().flow != nullptr; }, kPatienceMs));
  ASSERT_EQ(canvas->scene().flow->size(), 1U);
  const FlowArrow& arrow = canvas->scene().flow->front();
  EXPECT_LT(arrow.from.span.begin_ns, arrow.to.span.begin_ns);
}

TEST(MainWindow, ShowsTheRunsOfAProfile) {
  const shardscope::testing::TempFolder folder;
  shardscope::testing::record_tiny_profile(folder.file("run.db"), "zero-2");
  shardscope::testing::record_tiny_profile(folder.file("run.db"), "zero-2", 4, /*predicted=*/true);
  MainWindow window;
  QSignalSpy opened(&window, &MainWindow::opened);
  window.open({folder.file("run.db")});
  ASSERT_TRUE(opened.wait(kPatienceMs)) << window.message().toStdString();
  EXPECT_EQ(window.message(), "");
  EXPECT_TRUE(window.windowTitle().contains("run.db"));
  const QAbstractItemModel* runs = window.findChild<QTableView*>("runs")->model();
  ASSERT_EQ(runs->rowCount(), 2);
  EXPECT_EQ(runs->index(0, RunsModel::kKind).data().toString(), "measured");
  EXPECT_EQ(runs->index(1, RunsModel::kKind).data().toString(), "predicted");
  EXPECT_EQ(runs->index(0, RunsModel::kPeak).data().toString(), "12 KiB");
  EXPECT_EQ(window.findChild<StackedBars*>("memory")->chart().bars.size(), 2U);
  // Parts of test_profile.h's step, of both ranks: rank 1 takes twice as long.
  const BarChart& steps = window.findChild<StackedBars*>("steps")->chart();
  EXPECT_DOUBLE_EQ(steps.bars[0].total(), 1.5e-3);
}

TEST(MainWindow, KeepsWhatItShowedWhenTheNextFileIsBad) {
  const shardscope::testing::TempFolder folder;
  shardscope::testing::record_tiny_profile(folder.file("run.db"), "zero-2");
  MainWindow window;
  QSignalSpy opened(&window, &MainWindow::opened);
  window.open({folder.file("run.db")});
  ASSERT_TRUE(opened.wait(kPatienceMs));
  EXPECT_FALSE(message_for(window, folder.file("missing.db")).isEmpty());
  EXPECT_EQ(window.findChild<QTableView*>("runs")->model()->rowCount(), 1);
  window.open({folder.file("run.db")});
  ASSERT_TRUE(opened.wait(kPatienceMs));
  EXPECT_EQ(window.message(), "") << "the message goes when a file opens";
}

TEST(MainWindow, StaysUpWithOneMessageWhenAFileCannotBeRead) {
  const QTemporaryDir dir;
  MainWindow window;
  window.show();
  const std::string truncated = write_file(dir, "truncated.db", QByteArray("SQLite format 3\0", 16));
  const std::string text = write_file(dir, "notes.db", "these are not rows\n");
  const std::string noise = write_file(dir, "noise.db", QByteArray(100'000, '\xA5'));
  const std::string missing = dir.filePath("missing.db").toStdString();
  for (const std::string& path : {missing, truncated, text, noise, dir.path().toStdString()}) {
    const QString message = message_for(window, path);
    EXPECT_FALSE(message.isEmpty()) << path;
    EXPECT_FALSE(message.contains('\n')) << message.toStdString();
    EXPECT_TRUE(message.contains(QString::fromStdString(path))) << message.toStdString();
    EXPECT_TRUE(window.isVisible());
    EXPECT_FALSE(QFile::exists(QString::fromStdString(missing))) << "looking must not create";
  }
}

TEST(MainWindow, EachViewHasItsDigit) {
  MainWindow window;
  window.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&window));
  for (std::size_t i = 0; i < view_list().size(); ++i) {
    QTest::keyClick(&window, static_cast<Qt::Key>(Qt::Key_1 + static_cast<int>(i)));
    EXPECT_TRUE(window.view(view_list()[i].id)->isVisible()) << view_list()[i].id;
  }
  EXPECT_EQ(window.view("no such view"), nullptr);
  EXPECT_FALSE(window.show_view("no such view"));
}

TEST(MainWindow, SelectedRowsAreTheSessionsChosenRuns) {
  const shardscope::testing::TempFolder folder;
  for (const char* name : {"zero-2", "zero-3"}) shardscope::testing::record_tiny_profile(folder.file("run.db"), name);
  MainWindow window;
  QSignalSpy opened(&window, &MainWindow::opened);
  window.open({folder.file("run.db")});
  ASSERT_TRUE(opened.wait(kPatienceMs));
  auto* table = window.findChild<QTableView*>("runs");
  table->selectRow(1);
  EXPECT_EQ(window.session().chosen, std::vector<std::size_t>{1});
  EXPECT_EQ(window.session().a, 0U);
  Q_EMIT table->doubleClicked(table->model()->index(1, 0));
  EXPECT_EQ(window.session().a, 1U);
  EXPECT_EQ(window.session().chosen, std::vector<std::size_t>{1}) << "the choice is kept";
  EXPECT_EQ(table->selectionModel()->selectedRows().size(), 1);
}

TEST(MainWindow, StateGoesToAFileAndALinkAndBack) {
  const shardscope::testing::TempFolder folder;
  for (const char* name : {"zero-2", "zero-3"}) shardscope::testing::record_tiny_profile(folder.file("run.db"), name);
  AppState saved;
  {
    MainWindow window;
    QSignalSpy opened(&window, &MainWindow::opened);
    window.open({folder.file("run.db")});
    ASSERT_TRUE(opened.wait(kPatienceMs));
    window.show_view("timeline");
    window.view("timeline")->restore({{"version", 1}, {"view", "timeline"}, {"search", "adam"}});
    ASSERT_TRUE(QTest::qWaitFor([&] { return !window.busy(); }, kPatienceMs));
    saved = window.app_state();
    saved.run = QString::fromStdString(window.session().runs[1].run.key);
  }
  EXPECT_EQ(saved.view, "timeline");
  EXPECT_EQ(saved.views["timeline"]["search"].toString(), "adam");
  const Theme before = theme_of(QApplication::palette());
  MainWindow window;
  window.set_theme(Theme::kDark);
  QSignalSpy opened(&window, &MainWindow::opened);
  window.restore(saved);
  ASSERT_TRUE(opened.wait(kPatienceMs));
  ASSERT_TRUE(QTest::qWaitFor([&] { return !window.busy(); }, kPatienceMs));
  EXPECT_TRUE(window.view("timeline")->findChild<TimelineCanvas*>()->scene().state.dark) << "the theme is the window's";
  window.set_theme(before);
  EXPECT_EQ(window.session().a, 1U);
  EXPECT_EQ(window.app_state().views["timeline"]["search"].toString(), "adam");
  EXPECT_EQ(window.app_state().run, saved.run);
  // The file was opened before, so that a link finds it.
  MainWindow other;
  QSignalSpy there(&other, &MainWindow::opened);
  ASSERT_TRUE(other.open_link(to_link(saved)));
  ASSERT_TRUE(there.wait(kPatienceMs)) << other.message().toStdString();
  EXPECT_EQ(other.session().a, 1U);
  EXPECT_FALSE(other.open_link("shardscope://elsewhere"));
  EXPECT_TRUE(other.message().contains("link"));
  AppState bad = saved;
  bad.files.clear();
  bad.views["timeline"] = QJsonObject{{"zoom", 3}};
  other.restore(bad);
  EXPECT_TRUE(other.message().contains("zoom")) << other.message().toStdString();
}

TEST(MainWindow, ViewChangesAreUndoneAndDoneAgain) {
  const shardscope::testing::TempFolder folder;
  shardscope::testing::record_tiny_profile(folder.file("run.db"), "zero-2", 20);
  MainWindow window;
  window.show();
  QSignalSpy opened(&window, &MainWindow::opened);
  window.open({folder.file("run.db")});
  ASSERT_TRUE(opened.wait(kPatienceMs));
  window.show_view("timeline");
  View* view = window.view("timeline");
  ASSERT_TRUE(QTest::qWaitFor([&] { return !window.busy(); }, kPatienceMs));
  for (const char* name : {"Zoom in", "Pan right"}) {
    for (QAction* action : view->commands()) {
      if (action->text() == name) action->trigger();
    }
  }
  const QJsonObject last = view->state();
  window.undo();
  EXPECT_NE(view->state(), last);
  window.undo();
  EXPECT_FALSE(view->state().contains("window_ns") && view->state()["window_ns"] == last["window_ns"]);
  window.undo();  // nothing left
  window.redo();
  window.redo();
  EXPECT_EQ(view->state(), last);
}

TEST(MainWindow, AllCommandsAreInThePaletteUnderTheirNames) {
  MainWindow window;
  QStringList names;
  for (const QAction* action : window.all_commands()) names << action->text();
  EXPECT_TRUE(names.contains("Zoom in"));
  EXPECT_TRUE(names.contains("Copy &link"));
  QTimer::singleShot(50, [] {
    QWidget* dialog = QApplication::activeModalWidget();
    auto* line = dialog->findChild<QLineEdit*>("palette");
    QTest::keyClicks(line, "dark");
    QTest::keyClick(line, Qt::Key_Return);
  });
  const Theme before = theme_of(QApplication::palette());
  for (QAction* action : window.all_commands()) {
    if (action->text() == QStringLiteral("&Commands…")) action->trigger();
  }
  QCoreApplication::processEvents();
  EXPECT_NE(theme_of(QApplication::palette()), before) << "Enter ran what the letters found";
  window.set_theme(before);
}

TEST(MainWindow, ARunThatIsStillRecordedGrows) {
  const shardscope::testing::TempFolder folder;
  const std::string path = folder.file("run.db");
  ProfileWriter writer(path, shardscope::testing::tiny_run("live"));
  RankTrace* trace = writer.open_rank(0, shardscope::testing::tiny_program(0, 2));
  const auto record = [&](int from, int to) {
    for (int step = from; step < to; ++step) shardscope::testing::trace_step(*trace, step);
  };
  record(0, 3);
  QTest::qWait(1500);  // until the writer has written them
  MainWindow window;
  QSignalSpy opened(&window, &MainWindow::opened);
  window.open({path});
  ASSERT_TRUE(opened.wait(kPatienceMs)) << window.message().toStdString();
  const auto steps = [&] { return window.session().runs.front().run.steps; };
  const std::int64_t before = steps();
  record(3, 30);
  trace->finish({}, 0);
  writer.finish();
  EXPECT_TRUE(QTest::qWaitFor([&] { return steps() == 30; }, kPatienceMs)) << before << " to " << steps();
  EXPECT_EQ(window.session().runs.front().run.status, "finished");
}

TEST(MainWindow, ManyKindsOfBadFilesLeaveTheWindowUp) {
  const shardscope::testing::TempFolder folder;
  shardscope::testing::record_tiny_profile(folder.file("good.db"), "run", 20);
  QFile good(QString::fromStdString(folder.file("good.db")));
  ASSERT_TRUE(good.open(QIODevice::ReadOnly));
  const QByteArray bytes = good.readAll();
  const auto write = [&](const char* name, const QByteArray& content) {
    QFile file(QString::fromStdString(folder.file(name)));
    EXPECT_TRUE(file.open(QIODevice::WriteOnly));
    file.write(content);
    return folder.file(name);
  };
  QByteArray newer = bytes;
  newer[63] = 99;  // the last byte of user_version
  MainWindow window;
  window.show();
  for (const std::string& path : {write("half.db", bytes.left(bytes.size() / 2)), write("newer.db", newer)}) {
    const QString message = message_for(window, path);
    EXPECT_TRUE(message.contains(QString::fromStdString(path))) << message.toStdString();
    EXPECT_FALSE(message.contains('\n'));
    EXPECT_TRUE(window.isVisible());
  }
}

TEST(MainWindow, TheNewestQuestionWins) {
  const QTemporaryDir dir;
  MainWindow window;
  QSignalSpy refused(&window, &MainWindow::refused);
  window.open({dir.filePath("first.db").toStdString()});
  window.open({dir.filePath("second.db").toStdString()});
  ASSERT_TRUE(refused.wait(kPatienceMs));
  QTest::qWait(50);
  EXPECT_EQ(refused.count(), 1);
  EXPECT_TRUE(window.message().contains("second.db")) << window.message().toStdString();
}

TEST(MainWindow, CanBeClosedWhileItReads) {
  const QTemporaryDir dir;
  auto window = std::make_unique<MainWindow>();
  window->open({dir.filePath("never.db").toStdString()});
  window.reset();  // waits for its reader; nothing may reach the dead window
  QCoreApplication::processEvents();
}

TEST(Theme, AnEmptyCheckBoxIsSeenOnItsWindow) {
  for (Theme theme : {Theme::kLight, Theme::kDark}) {
    QCheckBox box;
    box.setPalette(make_box_palette(theme));
    QImage image(40, 24, QImage::Format_RGB32);
    const QColor window = make_palette(theme).color(QPalette::Window);
    image.fill(window);
    box.resize(image.size());
    box.render(&image, {}, {}, QWidget::DrawChildren);
    int most = 0;
    for (int x = 0; x < image.width(); ++x)
      most = std::max(most, std::abs(image.pixelColor(x, image.height() / 2).lightness() - window.lightness()));
    EXPECT_GE(most, 45) << static_cast<int>(theme);
  }
}

}  // namespace
}  // namespace shardscope::gui
