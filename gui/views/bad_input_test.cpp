// Files that are damaged, hostile or out of reach, and runs that lack something: the window stays up, says one thing,
// and each view says what it lacks.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <QApplication>
#include <QElapsedTimer>
#include <QFile>
#include <QRegularExpression>
#include <QSignalSpy>
#include <QtTest>

#include "gui/models/table_model.h"
#include "gui/views/main_window.h"
#include "gui/views/odd_runs_for_test.h"
#include "gui/views/timeline/timeline_canvas.h"
#include "gui/views/view.h"

namespace shardscope::gui {
namespace {

using shardscope::testing::TempFolder;
using testing::edit_profile;
using testing::OddRun;
using testing::write_odd_run;

constexpr int kPatienceMs = 60'000;

class BadInput : public ::testing::Test {
 protected:
  BadInput() {
    window_.resize(1100, 760);
    window_.show();
  }

  std::string whole(const char* name) {  // a sound run and its prediction
    write_odd_run(folder_.file(name), OddRun::kWhole);
    return folder_.file(name);
  }

  /// Opens the file and waits for the answer; what stands at the top then.
  QString open(const std::string& path) {
    bool answered = false;
    const auto done = [&answered] { answered = true; };
    const QMetaObject::Connection yes = QObject::connect(&window_, &MainWindow::opened, done),
                                  no = QObject::connect(&window_, &MainWindow::refused, done);
    window_.open({path});
    EXPECT_TRUE(QTest::qWaitFor([&] { return answered; }, kPatienceMs)) << path;
    QObject::disconnect(yes);
    QObject::disconnect(no);
    return window_.message();
  }

  /// Views ask on after an answer.
  void settle() {
    int calm = 0;
    EXPECT_TRUE(QTest::qWaitFor(
        [&] {
          calm = window_.busy() ? 0 : calm + 1;
          QTest::qWait(10);
          return calm > 3;
        },
        kPatienceMs));
  }

  /// Looks at it as a user does; all that it says: its picture, its table, and the message.
  QString look_at(const char* id) {
    window_.show_view(id);
    QTest::qWait(20);
    settle();
    if (id == std::string("timeline")) {
      QTest::qWait(130);  // its tables wait for the view to be still
      settle();
    }
    View* view = window_.view(id);
    EXPECT_FALSE(view->grab().isNull());
    return QString::fromStdString(to_svg(view->picture(1100, 700))) + to_text(*view->table(), TextFormat::kTsv) +
           window_.message();
  }

  void look_at_all() {
    for (const ViewEntry& entry : view_list()) look_at(entry.id);
  }

  void expect_one_line_about(const QString& message, const std::string& path) {
    EXPECT_TRUE(message.contains(QString::fromStdString(path))) << message.toStdString();
    EXPECT_FALSE(message.contains('\n')) << message.toStdString();
    EXPECT_LT(message.size(), 400) << message.toStdString();
    EXPECT_TRUE(window_.isVisible());
  }

  TempFolder folder_;
  MainWindow window_;
};

// ---- files

TEST_F(BadInput, ATruncatedProfileIsRefusedWhereverItIsCut) {
  QFile good(QString::fromStdString(whole("good.db")));
  ASSERT_TRUE(good.open(QIODevice::ReadOnly));
  const QByteArray bytes = good.readAll();
  for (const int part : {0, 1, 16, 50, 99}) {
    const std::string path = folder_.file("cut" + std::to_string(part) + ".db");
    QFile cut(QString::fromStdString(path));
    ASSERT_TRUE(cut.open(QIODevice::WriteOnly));
    cut.write(bytes.left(bytes.size() * part / 100));
    cut.close();
    const QString message = open(path);
    if (!message.isEmpty()) {
      expect_one_line_about(message, path);
    } else {
      look_at_all();  // the end was free pages, or what no list of runs needs: views say the rest
    }
  }
}

TEST_F(BadInput, AProfileOfANewerVersionOrAnotherProgramIsNamedAsSuch) {
  const std::string newer = whole("newer.db"), other = whole("other.db");
  edit_profile(newer, "PRAGMA user_version = 99");
  edit_profile(other, "PRAGMA application_id = 7");
  EXPECT_TRUE(open(newer).contains("newer Shardscope")) << window_.message().toStdString();
  expect_one_line_about(window_.message(), newer);
  EXPECT_TRUE(open(other).contains("another program"));
  const std::string text = folder_.file("notes.db");
  std::ofstream(text) << "these are not rows\n";
  EXPECT_TRUE(open(text).contains("not an SQLite 3 file"));
  expect_one_line_about(window_.message(), text);
}

TEST_F(BadInput, ALockedProfileIsSaidToBeLockedAndOpensLater) {
  const std::string path = whole("locked.db");
  {
    Connection holder(path, Connection::Mode::kReadWrite);
    holder.execute("PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    EXPECT_TRUE(open(path).contains("locked by another process")) << window_.message().toStdString();
    expect_one_line_about(window_.message(), path);
  }
  EXPECT_EQ(open(path), "");
}

/// Nothing can be written in a folder, as on a read-only disk: root gives its rights up for as long as this lives.
class ReadOnlyFolder {
 public:
  explicit ReadOnlyFolder(std::string folder) : folder_(std::move(folder)) {
    ::chmod(folder_.c_str(), 0555);
    if (::geteuid() == 0) gave_up_ = ::seteuid(kNobody) == 0;
  }
  ~ReadOnlyFolder() {
    if (gave_up_ && ::seteuid(0) != 0) std::abort();
    ::chmod(folder_.c_str(), 0755);
  }
  ReadOnlyFolder(const ReadOnlyFolder&) = delete;
  ReadOnlyFolder& operator=(const ReadOnlyFolder&) = delete;
  bool works() const { return ::access(folder_.c_str(), W_OK) != 0 || gave_up_; }

 private:
  static constexpr uid_t kNobody = 65534;
  std::string folder_;
  bool gave_up_ = false;
};

TEST_F(BadInput, AProfileOnAReadOnlyDiskOpens) {
  const std::string path = whole("run.db"), logged = whole("logged.db");
  edit_profile(logged, "PRAGMA journal_mode = WAL");
  const ReadOnlyFolder folder(std::filesystem::path(path).parent_path().string());
  if (!folder.works()) GTEST_SKIP() << "this machine lets everybody write everywhere";
  for (const std::string& file : {path, logged}) {
    EXPECT_EQ(open(file).toStdString(), "");
    look_at_all();
    EXPECT_EQ(window_.message().toStdString(), "");
  }
}

TEST_F(BadInput, WhatAKilledRunLeftOnAReadOnlyDiskIsSaidToNeedAnotherPlace) {
  const std::string path = whole("run.db");
  std::filesystem::copy_file(path, path + ".rank0");
  const ReadOnlyFolder folder(std::filesystem::path(path).parent_path().string());
  if (!folder.works()) GTEST_SKIP() << "this machine lets everybody write everywhere";
  EXPECT_TRUE(open(path).contains("copy all of them")) << window_.message().toStdString();
  expect_one_line_about(window_.message(), path);
}

TEST_F(BadInput, AFileThatGoesOrChangesWhileItIsOpenLeavesTheWindowUp) {
  const std::string path = whole("run.db");
  ASSERT_EQ(open(path), "");
  look_at_all();
  std::ofstream(path, std::ios::trunc) << "SQLite format 3, but no more\n";
  ASSERT_TRUE(QTest::qWaitFor([&] { return !window_.message().isEmpty(); }, kPatienceMs));
  expect_one_line_about(window_.message(), path);
  look_at_all();
  std::filesystem::remove(path);
  ASSERT_TRUE(QTest::qWaitFor([&] { return window_.message().contains("no such file"); }, kPatienceMs));
  look_at_all();
  EXPECT_TRUE(window_.isVisible());
}

// ---- hostile content

TEST_F(BadInput, TriggersViewsAndTablesOfOthersAreRefused) {
  const std::pair<const char*, const char*> tricks[] = {
      {"trigger", "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END"},
      {"step_breakdown",
       "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE VIEW step_breakdown AS WITH RECURSIVE c(i) "
       "AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c' WHERE name = 'step_breakdown'"},
      {"op_time", "DROP VIEW op_time"},
  };
  for (const auto& [what, sql] : tricks) {
    const std::string path = whole((std::string(what) + ".db").c_str());
    edit_profile(path, sql);
    EXPECT_TRUE(open(path).contains(what)) << what << ": " << window_.message().toStdString();
    expect_one_line_about(window_.message(), path);
  }
}

TEST_F(BadInput, HugeAndGarbledBlobsAreOneMessage) {
  const char* edits[] = {
      "UPDATE slice_chunk SET data = zeroblob(100000000) WHERE id = 1",
      "UPDATE slice_chunk SET data = randomblob(1000)",
      "UPDATE slice_chunk SET data = '[[0,0,0,9223372036854775807,0]]'",
      "UPDATE memory_chunk SET data = zeroblob(100000000) WHERE id = 1",
      "UPDATE memory_chunk SET data = randomblob(1000)",
      "UPDATE memory_level SET totals = randomblob(1000)",
      "UPDATE memory_level SET parts = '[]'",
      "UPDATE string SET text = id || printf('%.*c', 3000000, 'x')",
      "UPDATE run SET name = printf('%.*c', 3000000, char(10)), model = printf('%.*c', 3000000, 'y')",
      "UPDATE run SET job_json = printf('%.*c', 3000000, '[')",
  };
  int number = 0;
  for (const char* sql : edits) {
    const std::string path = whole(("blob" + std::to_string(number++) + ".db").c_str());
    edit_profile(path, sql);
    SCOPED_TRACE(sql);
    open(path);
    for (const ViewEntry& entry : view_list()) {
      look_at(entry.id);
      EXPECT_FALSE(window_.message().contains('\n')) << entry.id;
      EXPECT_LT(window_.message().size(), 400) << entry.id;
    }
    EXPECT_TRUE(window_.isVisible());
  }
}

/// Every number of every table, in turn, is what it cannot be. The window may say so, or show the rest.
TEST_F(BadInput, AbsurdNumbersLeaveTheWindowUp) {
  const std::string good = whole("good.db"), path = folder_.file("absurd.db");
  const bool every = qEnvironmentVariableIsSet("SHARDSCOPE_EVERY_NUMBER");
  const char* values[] = {"9223372036854775807",  "-1", "2147483647", "1000000000000000000",
                          "-9223372036854775808", "0"};
  std::size_t turn = 0;
  for (const SchemaTable& table : schema_tables()) {
    for (const SchemaColumn& column : table.columns) {
      if (std::string_view(column.type) == "TEXT" || table.since > 3) continue;
      for (std::size_t v = 0; v < std::size(values); ++v) {
        if (!every && (turn % 3 != 0 || v != turn / 3 % std::size(values))) continue;
        std::filesystem::copy_file(good, path, std::filesystem::copy_options::overwrite_existing);
        const std::string sql =
            std::string("UPDATE OR IGNORE ") + table.name + " SET " + column.name + " = " + values[v];
        edit_profile(path, sql);
        SCOPED_TRACE(sql);
        QElapsedTimer timer;
        timer.start();
        open(path);
        for (const char* id : {"overview", "timeline", "memory", "compare", "waterfall", "scatter"}) look_at(id);
        EXPECT_FALSE(window_.message().contains('\n'));
        EXPECT_TRUE(window_.isVisible());
      }
      ++turn;
    }
  }
}

TEST_F(BadInput, ATimelineThatCannotBeReadSaysSoWhereItWouldBe) {
  const std::string path = whole("sum.db");
  edit_profile(
      path,
      "INSERT INTO slice_chunk (track, slices, start_ns, end_ns, data) SELECT track, slices, start_ns, end_ns, "
      "data FROM slice_chunk; UPDATE slice_chunk SET slices = 9223372036854775807");
  open(path);
  look_at("timeline");
  EXPECT_TRUE(window_.message().contains(QStringLiteral("damaged (numbers too large to add)")));
  auto* canvas = window_.findChild<TimelineCanvas*>(QStringLiteral("canvas"));
  ASSERT_NE(canvas, nullptr);
  EXPECT_TRUE(canvas->empty_text().contains(QStringLiteral("cannot be read"))) << canvas->empty_text().toStdString();
}

// ---- runs that lack something

struct Lack {
  OddRun odd;
  bool alone;  ///< without a prediction
  const char* view;
  const char* says;
};

std::string name_of(const ::testing::TestParamInfo<Lack>& info) {
  constexpr const char* kNames[] = {"Whole", "OneRank", "NoSteps", "NoMemory", "NoSlices", "NoRanks"};
  return std::string(kNames[static_cast<int>(info.param.odd)]) + (info.param.alone ? "Alone_" : "_") + info.param.view;
}

class Lacking : public BadInput, public ::testing::WithParamInterface<Lack> {};

TEST_P(Lacking, IsSaidByTheView) {
  const Lack& lack = GetParam();
  const std::string path = folder_.file("odd.db");
  write_odd_run(path, lack.odd, lack.alone);
  EXPECT_EQ(open(path), "");
  QElapsedTimer timer;
  timer.start();
  QString said = look_at(lack.view);
  EXPECT_EQ(window_.message(), "") << "what a run lacks is no problem of the file";
  said.replace(QRegularExpression(QStringLiteral("</text>\\s*<text[^>]*>")), QStringLiteral(" "));  // lines of one text
  EXPECT_TRUE(said.contains(QString::fromLatin1(lack.says))) << said.left(3000).toStdString();
}

INSTANTIATE_TEST_SUITE_P(
    Runs, Lacking,
    ::testing::Values(
        Lack{OddRun::kOneRank, false, "overview", "odd"}, Lack{OddRun::kOneRank, false, "timeline", "1 rank"},
        Lack{OddRun::kOneRank, false, "memory", "1 rank"}, Lack{OddRun::kOneRank, false, "compare", "rank 0"},
        Lack{OddRun::kOneRank, false, "waterfall", "1 rank"}, Lack{OddRun::kOneRank, false, "scatter", "6 ops"},
        Lack{OddRun::kOneRank, true, "compare", "There is one run only"},
        Lack{OddRun::kOneRank, true, "waterfall", "There is no prediction of odd"},
        Lack{OddRun::kOneRank, true, "scatter", "There is no prediction of odd"},
        Lack{OddRun::kNoSteps, false, "overview", "No run with a finished step"},
        Lack{OddRun::kNoSteps, false, "timeline", "no steps were recorded"},
        Lack{OddRun::kNoSteps, false, "memory", "rank 1"},
        Lack{OddRun::kNoSteps, false, "compare", "has no finished step, so there is nothing to compare step by step"},
        Lack{OddRun::kNoSteps, false, "waterfall", "has no finished step, so there is nothing to compare step by step"},
        Lack{OddRun::kNoSteps, false, "scatter", "6 ops"},
        Lack{OddRun::kNoMemory, false, "overview", "No run with recorded memory"},
        Lack{OddRun::kNoMemory, false, "timeline", "2 ranks"},
        Lack{OddRun::kNoMemory, false, "memory", "This run has no memory rows"},
        Lack{OddRun::kNoMemory, false, "compare", "B against A"},
        Lack{OddRun::kNoMemory, false, "waterfall", "its prediction"},
        Lack{OddRun::kNoMemory, false, "scatter", "6 ops"},
        Lack{OddRun::kNoSlices, false, "timeline", "This run has no slices"},
        Lack{OddRun::kNoSlices, false, "memory", "rank 1"},
        Lack{OddRun::kNoSlices, false, "compare", "no execution of any op was recorded"},
        Lack{OddRun::kNoSlices, false, "waterfall", "exposed communication"},
        Lack{OddRun::kNoSlices, false, "scatter", "no execution of any op was recorded"},
        Lack{OddRun::kNoRanks, false, "overview", "No run with a finished step"},
        Lack{OddRun::kNoRanks, false, "timeline", "This run has no slices"},
        Lack{OddRun::kNoRanks, false, "memory", "This run has no memory rows"},
        Lack{OddRun::kNoRanks, false, "compare", "has no finished step"},
        Lack{OddRun::kNoRanks, false, "waterfall", "has no finished step"},
        Lack{OddRun::kNoRanks, false, "scatter", "no execution of any op was recorded"}),
    name_of);

TEST_F(BadInput, TenThousandRanksAreShownByEveryView) {
  const std::string path = folder_.file("many.db");
  write_odd_run(path, OddRun::kManyRanks);
  ASSERT_EQ(open(path), "");
  const std::pair<const char*, const char*> says[] = {
      {"overview", "odd"},        {"timeline", "all 10000 ranks"},      {"memory", "all 10000 ranks"},
      {"compare", "B against A"}, {"waterfall", "mean of 10000 ranks"}, {"scatter", "6 ops"}};
  for (const auto& [view, text] : says) {
    EXPECT_TRUE(look_at(view).contains(QString::fromLatin1(text))) << view;
    EXPECT_EQ(window_.message(), "");
  }
}

TEST_F(BadInput, AViewWithoutAnythingOpenSaysWhatToDo) {
  for (const char* id : {"timeline", "memory", "compare", "waterfall", "scatter"}) {
    QString all = look_at(id);
    EXPECT_TRUE(all.contains("pen") || all.contains("No run is shown")) << id << all.toStdString();
  }
}

}  // namespace
}  // namespace shardscope::gui
