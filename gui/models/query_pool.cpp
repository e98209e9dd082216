#include "gui/models/query_pool.h"

#include <QMetaObject>
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace shardscope::gui {

/// A question; shared by the queue, the thread that works on it and the answer on its way.
struct QueryPool::Job {
  const QObject* asker;  ///< to compare with; `alive` says whether it still is
  QPointer<QObject> alive;
  std::string name;
  Question question;
  Answer answer;
  Failed failed;
  std::atomic<bool> dropped{false};
  std::shared_ptr<const void> value;  ///< as `problem`: written by the worker before the answer is posted
  QString problem;
};

struct QueryPool::Shared {
  std::mutex lock;
  std::condition_variable wake;
  std::deque<std::shared_ptr<Job>> waiting;
  std::map<std::string, int> editions;  ///< how often each file was forgotten
  bool ended = false;
  std::vector<std::unique_ptr<QueryFiles>> files;  ///< one per thread
  std::vector<std::thread> threads;
  std::vector<std::shared_ptr<Job>> unanswered;  ///< used by the pool's own thread only
};

/// Of one thread. Others look at `open` and `job` only, and under the lock; it changes them under the lock.
struct QueryFiles::State {
  struct Open {
    int edition = 0;
    std::unique_ptr<Profile> profile;
    std::map<std::int64_t, std::unique_ptr<Timeline>> timelines;  // used by the thread alone
  };
  QueryPool::Shared* shared = nullptr;
  std::map<std::string, Open> open;
  std::shared_ptr<QueryPool::Job> job;

  int edition_of(const std::string& file) {
    const std::lock_guard<std::mutex> hold(shared->lock);
    return shared->editions[file];
  }
  void close(const std::string& file) {
    std::map<std::string, Open>::node_type closed;  // ends after the lock is given back
    const std::lock_guard<std::mutex> hold(shared->lock);
    closed = open.extract(file);
  }
  void interrupt() {
    for (auto& [file, entry] : open) entry.profile->interrupt();
  }
};

QueryFiles::QueryFiles() : state_(std::make_unique<State>()) {}
QueryFiles::~QueryFiles() = default;

bool QueryFiles::stopped() const { return state_->job && state_->job->dropped; }

const Profile& QueryFiles::profile(const std::string& file) {
  const int edition = state_->edition_of(file);
  if (const auto found = state_->open.find(file); found != state_->open.end()) {
    if (found->second.edition == edition) return *found->second.profile;
    state_->close(file);
  }
  auto opened = std::make_unique<Profile>(file);
  const std::lock_guard<std::mutex> hold(state_->shared->lock);
  State::Open& entry = state_->open[file];
  entry.edition = edition;
  entry.profile = std::move(opened);
  return *entry.profile;
}

const Timeline& QueryFiles::timeline(const std::string& file, std::int64_t run) {
  const Profile& opened = profile(file);
  std::unique_ptr<Timeline>& timeline = state_->open.at(file).timelines[run];
  if (!timeline) timeline = std::make_unique<Timeline>(opened, run);
  return *timeline;
}

QueryPool::QueryPool(QObject* parent, int threads) : QObject(parent), shared_(std::make_unique<Shared>()) {
  for (int i = 0; i < threads; ++i) {
    shared_->files.push_back(std::make_unique<QueryFiles>());
    shared_->files.back()->state_->shared = shared_.get();
  }
  for (const auto& files : shared_->files) shared_->threads.emplace_back([this, &own = *files] { work(own); });
}

QueryPool::~QueryPool() {
  while (!shared_->unanswered.empty()) drop(shared_->unanswered.back());
  {
    const std::lock_guard<std::mutex> hold(shared_->lock);
    shared_->ended = true;
  }
  shared_->wake.notify_all();
  for (std::thread& thread : shared_->threads) thread.join();
}

void QueryPool::ask_any(QObject* asker, std::string name, Question question, Answer answer, Failed failed) {
  cancel(asker, name);
  auto job = std::make_shared<Job>();
  job->asker = asker;
  job->alive = asker;
  job->name = std::move(name);
  job->question = std::move(question);
  job->answer = std::move(answer);
  job->failed = std::move(failed);
  shared_->unanswered.push_back(job);
  {
    const std::lock_guard<std::mutex> hold(shared_->lock);
    shared_->waiting.push_back(job);
  }
  shared_->wake.notify_one();
  say_if_busy();
}

/// A thread's loop.
void QueryPool::work(QueryFiles& files) {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock<std::mutex> hold(shared_->lock);
      files.state_->job.reset();
      shared_->wake.wait(hold, [&] { return shared_->ended || !shared_->waiting.empty(); });
      if (shared_->ended) return;
      job = files.state_->job = shared_->waiting.front();
      shared_->waiting.pop_front();
    }
    try {
      if (!job->dropped) job->value = job->question(files);
    } catch (const std::exception& error) {
      job->problem = QString::fromStdString(error.what());
    }
    QMetaObject::invokeMethod(
        this, [this, job] { deliver(job); }, Qt::QueuedConnection);
  }
}

void QueryPool::deliver(const std::shared_ptr<Job>& job) {
  std::erase(shared_->unanswered, job);
  if (!job->dropped && job->alive) job->value ? job->answer(job->value) : job->failed(job->problem);
  say_if_busy();
}

void QueryPool::drop(const std::shared_ptr<Job>& job) {
  // The lists may hold the last other one.
  const std::shared_ptr<Job> kept = job;  // NOLINT(performance-unnecessary-copy-initialization)
  std::erase(shared_->unanswered, kept);
  kept->dropped = true;
  const std::lock_guard<std::mutex> hold(shared_->lock);
  std::erase(shared_->waiting, kept);
  for (const auto& files : shared_->files) {
    if (files->state_->job == kept) files->state_->interrupt();
  }
}

void QueryPool::cancel(QObject* asker, const std::string& name) {
  const auto same = [&](const auto& job) { return job->asker == asker && job->name == name; };
  const auto found = std::find_if(shared_->unanswered.begin(), shared_->unanswered.end(), same);
  if (found == shared_->unanswered.end()) return;
  drop(*found);
  say_if_busy();
}

void QueryPool::cancel_all(QObject* asker) {
  const std::vector<std::shared_ptr<Job>> all = shared_->unanswered;
  for (const auto& job : all) {
    if (job->asker == asker) drop(job);
  }
  say_if_busy();
}

void QueryPool::forget(const std::string& file) {
  const std::lock_guard<std::mutex> hold(shared_->lock);
  ++shared_->editions[file];
}

bool QueryPool::busy() const { return !shared_->unanswered.empty(); }

void QueryPool::say_if_busy() {
  if (said_busy_ == busy()) return;
  said_busy_ = busy();
  Q_EMIT busy_changed(said_busy_);
}

}  // namespace shardscope::gui
