#include "gui/models/session.h"

#include <utility>

namespace shardscope::gui {
namespace {

/// load_summaries() puts a prediction right behind the run that it is of.
std::optional<std::size_t> prediction_of(const Session& session, std::size_t a) {
  const std::size_t next = a + 1;
  if (session.runs[a].run.predicted || next >= session.runs.size()) return std::nullopt;
  const RunSummary &measured = session.runs[a], &candidate = session.runs[next];
  const bool belongs =
      candidate.run.predicted && candidate.run.name == measured.run.name && candidate.file == measured.file;
  return belongs ? std::optional(next) : std::nullopt;
}

std::optional<std::size_t> measured_after(const Session& session, std::size_t a) {
  const std::size_t count = session.runs.size();
  for (std::size_t i = 1; i < count; ++i) {
    if (!session.runs[(a + i) % count].run.predicted) return (a + i) % count;
  }
  return std::nullopt;
}

}  // namespace

Session make_session(std::vector<std::string> files, std::vector<RunSummary> runs) {
  Session session{std::move(files), std::move(runs), {}, {}, {}, {}};
  std::size_t first = 0;
  while (first < session.runs.size() && session.runs[first].run.predicted) ++first;
  if (session.runs.empty()) return session;
  const std::size_t a = first < session.runs.size() ? first : 0;
  return with_a(std::move(session), a);
}

Session with_a(Session session, std::size_t a) {
  const std::optional<std::size_t> before = session.a;
  session.a = a;
  session.prediction = prediction_of(session, a);
  if (session.b == a) session.b = before;
  if (!session.b || session.b == a) session.b = measured_after(session, a);
  if (!session.b) session.b = session.prediction;
  return session;
}

std::vector<std::size_t> shown_runs(const Session& session) {
  if (!session.chosen.empty()) return session.chosen;
  std::vector<std::size_t> all(session.runs.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return all;
}

}  // namespace shardscope::gui
