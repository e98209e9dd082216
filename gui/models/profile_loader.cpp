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

Answer ask(const std::vector<std::string>& paths, const std::atomic<bool>& stop) {
  try {
    return {load_summaries(paths, &stop), {}};
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

void ProfileLoader::load(std::vector<std::string> paths) {
  if (stop_) *stop_ = true;
  stop_ = std::make_shared<std::atomic<bool>>(false);
  pool_.start([this, paths = std::move(paths), stop = stop_] {
    Answer answer = ask(paths, *stop);
    const auto deliver = [this, answer = std::move(answer), stop] {
      if (*stop) return;
      if (answer.problem.isEmpty()) {
        Q_EMIT loaded(answer.runs);
      } else {
        Q_EMIT failed(answer.problem);
      }
    };
    QMetaObject::invokeMethod(this, deliver, Qt::QueuedConnection);
  });
}

}  // namespace shardscope::gui
