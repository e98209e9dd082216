#pragma once
// What is open: files, their runs, and the part that some of them play. Views get it whole whenever it changes. No Qt.
//
//   Session session = make_session({"run.db"}, load_summaries({"run.db"}));
//   if (const RunSummary* a = session.run(session.a)) draw(a->file, a->run.id);

#include <optional>
#include <string>
#include <vector>

#include "gui/models/run_summary.h"

namespace shardscope::gui {

struct Session {
  std::vector<std::string> files;
  std::vector<RunSummary> runs;  ///< as the runs table lists them: each prediction behind its measured run
  /// Indices into `runs`. A is what a view shows of one run, B what it is compared with, `prediction` what is laid
  /// over A. None without runs, without a second one, without a prediction.
  std::optional<std::size_t> a, b, prediction;
  std::vector<std::size_t> chosen;  ///< selected in the runs table, in its order; empty: all

  const RunSummary* run(std::optional<std::size_t> index) const {
    return index && *index < runs.size() ? &runs[*index] : nullptr;
  }
};

/// With A the first measured run (else the first), its prediction, and B the next measured one (else A's prediction).
Session make_session(std::vector<std::string> files, std::vector<RunSummary> runs);
/// The same runs with another one as A, and the prediction that belongs to it; B becomes the former A if it was `a`.
Session with_a(Session session, std::size_t a);
/// The chosen runs; all of them if none is chosen.
std::vector<std::size_t> shown_runs(const Session& session);

}  // namespace shardscope::gui
