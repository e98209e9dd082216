// Files dropped on the window, as a file manager drops them: profiles, traces of other programs, and what is no file.

#include <gtest/gtest.h>

#include <QApplication>
#include <QDragEnterEvent>
#include <QDropEvent>
#include <QFile>
#include <QLineEdit>
#include <QMimeData>
#include <QSignalSpy>
#include <QUrl>
#include <QtTest>

#include "gui/views/main_window.h"
#include "profiler/store/sqlite.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

constexpr int kPatienceMs = 20'000;
using shardscope::testing::TempFolder;

/// What file managers offer: the addresses, and the same as text.
void fill(QMimeData& data, const std::vector<std::string>& files) {
  QList<QUrl> urls;
  for (const std::string& file : files) urls << QUrl::fromLocalFile(QString::fromStdString(file));
  data.setUrls(urls);
  data.setText(urls.front().toString());
}

/// Whether the drag was welcome; then it is dropped, by one who would rather move than copy.
bool drop(QWidget& on, const QMimeData& data) {
  const QPoint at = on.rect().center();
  const Qt::DropActions offered = Qt::CopyAction | Qt::MoveAction;
  QDragEnterEvent enter(at, offered, &data, Qt::LeftButton, {});
  enter.setDropAction(Qt::MoveAction);
  QApplication::sendEvent(&on, &enter);
  if (!enter.isAccepted()) return false;
  EXPECT_EQ(enter.dropAction(), Qt::CopyAction);
  QDropEvent event(at, offered, &data, Qt::LeftButton, {});
  event.setDropAction(Qt::MoveAction);
  QApplication::sendEvent(&on, &event);
  EXPECT_TRUE(event.isAccepted());
  EXPECT_EQ(event.dropAction(), Qt::CopyAction) << "what was moved would be taken away from where it was";
  return true;
}

/// The window's title once the files are open.
std::string title_after_drop(MainWindow& window, QWidget& on, const std::vector<std::string>& files) {
  QSignalSpy opened(&window, &MainWindow::opened);
  QMimeData data;
  fill(data, files);
  EXPECT_TRUE(drop(on, data));
  EXPECT_TRUE(opened.wait(kPatienceMs)) << window.message().toStdString();
  EXPECT_EQ(window.message(), "");
  return window.windowTitle().toStdString();
}

std::string kineto_trace(const TempFolder& folder) {
  std::string path = folder.file("trace.json");
  QFile file(QString::fromStdString(path));
  EXPECT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(R"({"schemaVersion": 1, "traceEvents": [{"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7,
    "ts": 120.5, "dur": 30.0, "args": {"device": 0, "stream": 7, "correlation": 3}}]})");
  return path;
}

std::string nsight_export(const TempFolder& folder) {
  std::string path = folder.file("report.sqlite");
  Connection(path, Connection::Mode::kCreate)
      .execute(
          "CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT); INSERT INTO StringIds VALUES (2, 'gemm');"
          "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId "
          "INTEGER, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, shortName INTEGER);"
          "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (200, 260, 0, 7, 9, 77, 2, 2)");
  return path;
}

TEST(Drop, ProfilesAndTracesOpenWhereverTheyFall) {
  const TempFolder folder;
  const std::string profile = folder.file("run.db");
  shardscope::testing::record_tiny_profile(profile, "zero-2");
  MainWindow window;
  window.show();
  EXPECT_NE(title_after_drop(window, window, {profile}).find("run.db"), std::string::npos);
  window.show_view("timeline");
  auto* canvas = window.findChild<QWidget*>("canvas");
  EXPECT_NE(title_after_drop(window, *canvas, {kineto_trace(folder)}).find("trace.json"), std::string::npos);
  auto* search = window.findChild<QLineEdit*>("search");
  const std::string title = title_after_drop(window, *search, {nsight_export(folder), profile});
  EXPECT_NE(title.find("report.sqlite"), std::string::npos) << title;
  EXPECT_NE(title.find("run.db"), std::string::npos) << title;
  EXPECT_EQ(search->text(), "") << "a field takes no file for a text";
  EXPECT_EQ(window.session().files.size(), 2U);
}

TEST(Drop, WhatIsNoFileHereIsNotTaken) {
  MainWindow window;
  window.show();
  QSignalSpy opened(&window, &MainWindow::opened), refused(&window, &MainWindow::refused);
  QMimeData text, remote;
  text.setText(QStringLiteral("rank:3"));
  remote.setUrls({QUrl(QStringLiteral("https://example.org/run.db"))});
  EXPECT_FALSE(drop(window, text));
  EXPECT_FALSE(drop(window, remote)) << "nothing would happen";
  EXPECT_EQ(opened.count() + refused.count(), 0);
}

TEST(Drop, AFolderIsRefusedInOneLine) {
  const TempFolder folder;
  MainWindow window;
  QSignalSpy refused(&window, &MainWindow::refused);
  QMimeData data;
  fill(data, {folder.file("")});
  EXPECT_TRUE(drop(window, data));
  ASSERT_TRUE(refused.count() > 0 || refused.wait(kPatienceMs));
  EXPECT_TRUE(window.message().contains("folder") || window.message().contains("directory"))
      << window.message().toStdString();
}

}  // namespace
}  // namespace shardscope::gui
