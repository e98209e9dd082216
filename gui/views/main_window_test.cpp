// The window against files as they come: real profiles are in tests/, here are those that must be refused.

#include "gui/views/main_window.h"

#include <gtest/gtest.h>

#include <QFile>
#include <QSignalSpy>
#include <QTableView>
#include <QTemporaryDir>
#include <QtTest>

#include "gui/views/stacked_bars.h"

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

}  // namespace
}  // namespace shardscope::gui
