// The pool against real files: who is answered, who is not, and on which thread.

#include "gui/models/query_pool.h"

#include <gtest/gtest.h>

#include <QSignalSpy>
#include <QThread>
#include <QtTest>
#include <atomic>

#include "profiler/query/list_runs.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

constexpr int kPatienceMs = 20'000;

/// Asks and keeps what comes.
struct Asker : QObject {
  explicit Asker(QueryPool& pool) : pool_(pool) {}
  void ask(const std::string& name, std::function<int(QueryFiles&)> question) {
    pool_.ask<int>(
        this, name, std::move(question), [this](const auto& value) { answers.push_back(*value); },
        [this](const QString& problem) { problems << problem; });
  }
  bool wait() const {
    return QTest::qWaitFor([this] { return !pool_.busy(); }, kPatienceMs);
  }
  std::vector<int> answers;
  QStringList problems;
  QueryPool& pool_;
};

TEST(QueryPool, AnswersOnItsOwnThreadWithWhatTheFileHolds) {
  const shardscope::testing::TempFolder folder;
  const std::string file = folder.file("run.db");
  shardscope::testing::record_tiny_profile(file, "zero-2");
  QueryPool pool;
  Asker asker(pool);
  const QThread* here = QThread::currentThread();
  std::atomic<bool> elsewhere{false};
  asker.ask("runs", [&](QueryFiles& files) {
    elsewhere = QThread::currentThread() != here;
    return static_cast<int>(list_runs(files.profile(file)).size());
  });
  EXPECT_TRUE(asker.answers.empty()) << "not before the event loop";
  ASSERT_TRUE(asker.wait());
  EXPECT_EQ(asker.answers, std::vector<int>{1});
  EXPECT_TRUE(elsewhere);
}

TEST(QueryPool, ATimelineIsMadeOncePerThread) {
  const shardscope::testing::TempFolder folder;
  const std::string file = folder.file("run.db");
  shardscope::testing::record_tiny_profile(file, "zero-2");
  QueryPool pool(nullptr, 1);
  Asker asker(pool);
  const Timeline *first = nullptr, *second = nullptr;
  asker.ask("1", [&](QueryFiles& files) { return (first = &files.timeline(file, 1), 0); });
  asker.ask("2", [&](QueryFiles& files) { return (second = &files.timeline(file, 1), 0); });
  ASSERT_TRUE(asker.wait());
  EXPECT_EQ(first, second);
  EXPECT_NE(first, nullptr);
}

TEST(QueryPool, NothingOfAFileIsHeldBetweenQuestions) {
  const shardscope::testing::TempFolder folder;
  const std::string file = folder.file("run.db");
  shardscope::testing::record_tiny_profile(file, "first");
  QueryPool pool(nullptr, 1);
  Asker asker(pool);
  const auto runs = [&](QueryFiles& files) { return static_cast<int>(list_runs(files.profile(file)).size()); };
  asker.ask("1", runs);
  ASSERT_TRUE(asker.wait());
  shardscope::testing::record_tiny_profile(file, "second");
  asker.ask("2", runs);
  ASSERT_TRUE(asker.wait());
  EXPECT_EQ(asker.answers, (std::vector<int>{1, 2}));
}

TEST(QueryPool, TheNewestOfANameWinsAndOthersAreAllAnswered) {
  QueryPool pool(nullptr, 1);
  Asker asker(pool);
  for (int i = 0; i < 20; ++i) asker.ask("same", [i](QueryFiles&) { return i; });
  asker.ask("other", [](QueryFiles&) { return 100; });
  ASSERT_TRUE(asker.wait());
  EXPECT_EQ(asker.answers, (std::vector<int>{19, 100}));
}

TEST(QueryPool, AReplacedQuestionIsInterrupted) {
  const shardscope::testing::TempFolder folder;
  const std::string file = folder.file("run.db");
  shardscope::testing::record_tiny_profile(file, "zero-2");
  QueryPool pool(nullptr, 1);
  Asker asker(pool);
  std::atomic<bool> began{false};
  asker.ask("q", [&](QueryFiles& files) {
    const Profile& profile = files.profile(file);
    began = true;
    Rows rows = profile.rows(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0");
    return rows.next() ? 1 : 0;  // would never end
  });
  ASSERT_TRUE(QTest::qWaitFor([&] { return began.load(); }, kPatienceMs));
  QTest::qWait(20);
  asker.ask("q", [&](QueryFiles& files) { return static_cast<int>(list_runs(files.profile(file)).size()); });
  ASSERT_TRUE(asker.wait());
  EXPECT_EQ(asker.answers, std::vector<int>{1});
  EXPECT_TRUE(asker.problems.isEmpty());
}

TEST(QueryPool, AProblemIsOneAnswer) {
  QueryPool pool;
  Asker asker(pool);
  asker.ask("q", [](QueryFiles& files) { return files.profile("/no/such/file.db").schema_version(); });
  ASSERT_TRUE(asker.wait());
  EXPECT_TRUE(asker.answers.empty());
  ASSERT_EQ(asker.problems.size(), 1);
  EXPECT_TRUE(asker.problems[0].contains("/no/such/file.db"));
}

TEST(QueryPool, AForgottenFileIsOpenedAnew) {
  const shardscope::testing::TempFolder folder;
  const std::string file = folder.file("run.db");
  shardscope::testing::record_tiny_profile(file, "zero-2");
  QueryPool pool(nullptr, 1);
  Asker asker(pool);
  const auto runs = [&](QueryFiles& files) { return static_cast<int>(list_runs(files.profile(file)).size()); };
  asker.ask("q", runs);
  ASSERT_TRUE(asker.wait());
  ASSERT_EQ(std::remove(file.c_str()), 0);
  pool.forget(file);
  asker.ask("q", runs);
  ASSERT_TRUE(asker.wait());
  EXPECT_EQ(asker.answers.size(), 1U);
  EXPECT_EQ(asker.problems.size(), 1);
}

TEST(QueryPool, WhoIsGoneIsNotAnswered) {
  QueryPool pool(nullptr, 1);
  auto asker = std::make_unique<Asker>(pool);
  std::atomic<bool> go{false};
  asker->ask("q", [&](QueryFiles&) {
    while (!go) QThread::msleep(1);
    return 1;
  });
  asker.reset();
  go = true;
  EXPECT_TRUE(QTest::qWaitFor([&] { return !pool.busy(); }, kPatienceMs));
}

TEST(QueryPool, EndsWhileQuestionsWait) {
  auto pool = std::make_unique<QueryPool>(nullptr, 2);
  Asker asker(*pool);
  for (int i = 0; i < 50; ++i) {
    asker.ask(std::to_string(i), [](QueryFiles& files) {
      for (int wait = 0; wait < 1000 && !files.stopped(); ++wait) QThread::msleep(1);
      return 0;
    });
  }
  pool.reset();
  QCoreApplication::processEvents();
  EXPECT_TRUE(asker.answers.empty());
}

}  // namespace
}  // namespace shardscope::gui
