#pragma once
// Questions to profiles, asked off the UI thread: a few threads, each with its own read-only connection per file.
//
//   pool.ask<StepTimes>(this, "steps",
//       [file, run](QueryFiles& files) { return step_times(files.profile(file), run); },
//       [this](std::shared_ptr<const StepTimes> times) { show(*times); },
//       [this](const QString& problem) { Q_EMIT this->problem(problem); });
//
// A question replaces the one before it of the same asker and name: that one is taken off the queue, or interrupted,
// and is never answered. Each of the others is answered exactly once, in the pool's thread (the UI's), by one of the
// two functions; never after its asker is gone.

#include <QObject>
#include <QPointer>
#include <QString>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "profiler/query/timeline.h"
#include "profiler/store/profile.h"

namespace shardscope::gui {

/// A thread's open files. What it gives lives until the question is answered.
class QueryFiles {
 public:
  QueryFiles();
  ~QueryFiles();
  const Profile& profile(const std::string& file);  ///< opened when first asked for; throws as Profile does
  const Timeline& timeline(const std::string& file, std::int64_t run);  ///< kept: its levels are costly to make
  /// The answer is wanted no more: a long question looks now and then, and returns anything.
  bool stopped() const;

 private:
  friend class QueryPool;
  struct State;
  std::unique_ptr<State> state_;
};

class QueryPool : public QObject {
  Q_OBJECT

 public:
  static constexpr int kThreads = 3;
  explicit QueryPool(QObject* parent = nullptr, int threads = kThreads);
  ~QueryPool() override;  ///< interrupts and waits for what is under way

  template <class T>
  void ask(QObject* asker, const std::string& name, std::function<T(QueryFiles&)> question,
           std::function<void(std::shared_ptr<const T>)> answer, const std::function<void(const QString&)>& failed) {
    ask_any(
        asker, name,
        [question = std::move(question)](QueryFiles& files) -> std::shared_ptr<const void> {
          return std::make_shared<const T>(question(files));
        },
        [answer = std::move(answer)](std::shared_ptr<const void> value) {
          answer(std::static_pointer_cast<const T>(std::move(value)));
        },
        failed);
  }

  void cancel(QObject* asker, const std::string& name);  ///< its question, if any, is not answered
  void cancel_all(QObject* asker);
  /// Files are opened anew for questions that come after: they have changed on disk, or are closed.
  void forget(const std::string& file);
  bool busy() const;  ///< some question waits for its answer

 Q_SIGNALS:
  void busy_changed(bool busy);

 private:
  friend class QueryFiles;
  using Question = std::function<std::shared_ptr<const void>(QueryFiles&)>;
  using Answer = std::function<void(std::shared_ptr<const void>)>;
  using Failed = std::function<void(const QString&)>;
  void ask_any(QObject* asker, std::string name, Question question, Answer answer, Failed failed);
  struct Job;
  struct Shared;
  void work(QueryFiles& files);
  void deliver(const std::shared_ptr<Job>& job);
  void drop(const std::shared_ptr<Job>& job);
  void say_if_busy();

  std::unique_ptr<Shared> shared_;
  bool said_busy_ = false;
};

}  // namespace shardscope::gui
