#include "gui/models/profile_loader.h"

#include <QMetaObject>
#include <exception>
#include <utility>

namespace shardscope::gui {

namespace {

struct Answer {
  std::vector<RunSummary> runs;
  QString problem;
};

template <class Question>
Answer ask(Question&& question) {
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
  pool_.start([this, paths = std::move(paths), stop = stop_] {
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
    const Answer first = ask([&] { return list_summaries(paths); });
    if (first.problem.isEmpty()) deliver(false, [this, runs = first.runs] { Q_EMIT listed(runs); });
    const Answer answer = first.problem.isEmpty() ? ask([&] { return load_summaries(paths, stop.get()); }) : first;
    deliver(true, [this, answer] { answer.problem.isEmpty() ? loaded(answer.runs) : failed(answer.problem); });
  });
}

}  // namespace shardscope::gui
