#include "profiler/import/write_clocks.h"

#include <algorithm>

#include "profiler/query/align_clocks.h"
#include "profiler/store/open_store.h"

namespace shardscope {
namespace {

ClockAlignment aligned(const std::string& path, std::int64_t run) {
  const Profile profile(path);
  const MatchedCollectives matched = match_collectives(profile, run);
  return matched.calls.empty() ? ClockAlignment{} : align_clocks(matched);
}

}  // namespace

void write_clocks(const std::string& path, std::int64_t run) {
  const ClockAlignment clocks = aligned(path, run);
  if (clocks.ranks.size() < 2) return;
  Connection connection = open_for_writing(path);
  Transaction transaction(connection);
  Statement insert(connection, "INSERT INTO clock VALUES (?, ?, ?, ?, ?, ?)");
  const RankClock& first = clocks.ranks.front();
  for (const RankClock& c : clocks.ranks) {
    if (!c.error_ns) continue;
    // Left as recorded: nothing is added, and the truth may be as far from that as two lines that are allowed are.
    const bool same = c.may_be_same;
    insert.run(run, c.rank, same ? 0.0 : c.offset_ns, same ? 0.0 : c.drift_ppm, same ? 2 * *c.error_ns : *c.error_ns,
               std::string_view(&c == &first ? "the clock of the others"
                                : same       ? "as recorded: no collective contradicts it"
                                             : "collectives"));
  }
  transaction.commit();
  connection.execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
}

}  // namespace shardscope
