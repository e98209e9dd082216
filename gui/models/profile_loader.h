#pragma once
// Reads profiles away from the thread that paints. The newest question wins: an answer to an older one is dropped.
//
//   connect(&loader, &ProfileLoader::loaded, ...); connect(&loader, &ProfileLoader::failed, ...);
//   loader.load({"run.db"});

#include <QObject>
#include <QString>
#include <QThreadPool>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "gui/models/run_summary.h"

namespace shardscope::gui {

class ProfileLoader : public QObject {
  Q_OBJECT

 public:
  explicit ProfileLoader(QObject* parent = nullptr);
  ~ProfileLoader() override;  ///< waits for the query under way

  /// Answers with failed(), or with listed() and then, as their numbers are there, loaded(); not at all if another
  /// load() or cancel() comes before.
  void load(std::vector<std::string> paths);
  void cancel();
  bool busy() const { return busy_; }

 Q_SIGNALS:
  void listed(const std::vector<shardscope::gui::RunSummary>& runs);  ///< names and sizes, before any numbers
  void loaded(const std::vector<shardscope::gui::RunSummary>& runs);
  void failed(const QString& message);  ///< one line: file and what is wrong with it

 private:
  QThreadPool pool_;
  std::shared_ptr<std::atomic<bool>> stop_;  ///< of the load under way; shared with its thread
  bool busy_ = false;
};

}  // namespace shardscope::gui
