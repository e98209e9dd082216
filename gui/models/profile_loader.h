#pragma once
// Reads profiles away from the thread that paints, and first imports what other programs wrote (profiler/import). The
// newest question wins: an answer to an older one is dropped.
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

#include "gui/models/import_foreign.h"
#include "gui/models/run_summary.h"
#include "gui/models/scratch_folder.h"

namespace shardscope::gui {

class ProfileLoader : public QObject {
  Q_OBJECT

 public:
  explicit ProfileLoader(QObject* parent = nullptr);
  ~ProfileLoader() override;  ///< waits for the query under way

  /// Answers with failed(), or with prepared(), listed() and then, as their numbers are there, loaded(); not at all if
  /// another load() or cancel() comes before. Files of other programs become one run of a profile that lives as long as
  /// the loader: several of them are the ranks of one job.
  void load(std::vector<std::string> paths);
  void cancel();
  bool busy() const { return busy_; }

 Q_SIGNALS:
  void importing(const QString& file, qint64 done, qint64 size);      ///< bytes of a file that is no profile
  void reading(int done, int runs);                                   ///< of the runs whose numbers are gathered
  void prepared(const std::vector<std::string>& profiles);            ///< what is read: `paths`, or imported
  void listed(const std::vector<shardscope::gui::RunSummary>& runs);  ///< names and sizes, before any numbers
  void loaded(const std::vector<shardscope::gui::RunSummary>& runs);
  void failed(const QString& message);  ///< one line: file and what is wrong with it

 private:
  QThreadPool pool_;
  std::shared_ptr<std::atomic<bool>> stop_;  ///< of the load under way; shared with its thread
  ScratchFolder imported_;
  int imports_ = 0;
  bool busy_ = false;
};

}  // namespace shardscope::gui
