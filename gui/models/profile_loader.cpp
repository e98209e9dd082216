#include "gui/models/profile_loader.h"

#include <QMetaObject>
#include <exception>
#include <utility>

namespace shardscope::gui {

namespace {

template <class T>
struct Answer {
  T value;
  QString problem;
};

template <class Question>
auto ask(Question&& question) -> Answer<decltype(question())> {
  try {
    return {question(), {}};
  } catch (const std::exception& error) {
    return {{}, QString::fromStdString(error.what())};
  }
}

}  // namespace

ProfileLoader::ProfileLoader(QObject* parent) : QObject(parent) { pool_.setMaxThreadCount(1); }

ProfileLoader::~ProfileLoader() {
  if (stop_) *stop_ = true;
  pool_.waitForDone();
}

void ProfileLoader::cancel() {
  if (stop_) *stop_ = true;
  busy_ = false;
}

void ProfileLoader::load(std::vector<std::string> paths) {
  cancel();
  stop_ = std::make_shared<std::atomic<bool>>(false);
  busy_ = true;
  const std::string target = imported_.file("imported-" + std::to_string(++imports_) + ".db");
  pool_.start([this, paths = std::move(paths), target, stop = stop_] {
    const auto deliver = [this, stop](bool last, auto&& tell) {
      QMetaObject::invokeMethod(
          this,
          [this, stop, last, tell] {
            if (*stop) return;
            if (last) busy_ = false;
            tell();
          },
          Qt::QueuedConnection);
    };
    const auto refuse = [&](const QString& problem) { deliver(true, [this, problem] { Q_EMIT failed(problem); }); };
    const auto progress = [&](const std::string& file, std::int64_t done, std::int64_t size) {
      deliver(false, [this, file, done, size] { Q_EMIT importing(QString::fromStdString(file), done, size); });
    };
    const auto profiles = ask([&] { return import_foreign(paths, target, *stop, progress); });
    if (!profiles.problem.isEmpty()) return refuse(profiles.problem);
    deliver(false, [this, files = profiles.value] { Q_EMIT prepared(files); });
    const auto first = ask([&] { return list_summaries(profiles.value); });
    if (!first.problem.isEmpty()) return refuse(first.problem);
    deliver(false, [this, runs = first.value] { Q_EMIT listed(runs); });
    const auto gathered = [&](int done) {
      deliver(false, [this, done, all = static_cast<int>(first.value.size())] { Q_EMIT reading(done, all); });
    };
    const auto answer = ask([&] { return load_summaries(profiles.value, stop.get(), gathered); });
    if (!answer.problem.isEmpty()) return refuse(answer.problem);
    deliver(true, [this, runs = answer.value] { Q_EMIT loaded(runs); });
  });
}

}  // namespace shardscope::gui
