#pragma once
// How does the clock of each rank differ from that of rank 0, and how well is that known?
//
//   ClockAlignment clocks = align_clocks(match_collectives(profile, run.id));
//   for (const RankClock& c : clocks.ranks) print(c.rank, c.offset_ns, c.drift_ppm, c.error_ns);
//   std::int64_t t = common_ns(clocks.ranks[1], start_ns);   // the same instant by the clock of rank 0
//
// No rank leaves a collective before the last has come. So each one bounds the offset of a rank from both sides: it
// cannot have ended before another began, nor begun after another ended. All of these together leave a set of straight
// lines (offset and drift); the answer is one from its middle, and how far the others are from it at most is the bound
// of the error: the truth is one of them, if clocks run evenly. Ranks that share no collective with rank 0 are bounded
// by ranks that do, and so on.

#include <cstdint>
#include <optional>
#include <vector>

#include "profiler/query/matched_collectives.h"

namespace shardscope {

/// Time of the first rank = time + offset_ns + drift_ppm / 1e6 * time, as in the table `clock`.
struct RankClock {
  int rank = 0;
  double offset_ns = 0, drift_ppm = 0;
  /// Bound of the error of the sum, anywhere between the first and the last collective. No value: no chain of
  /// collectives joins this rank to the first, so nothing is known.
  std::optional<double> error_ns;
  std::int64_t collectives = 0;  ///< that bound it
  /// By how much the collectives contradict each other (timestamps that are not exact, clocks that do not run evenly,
  /// a rank that did leave early); every bound was moved by it, so that error_ns contains it. 0: not at all.
  double contradiction_ns = 0;
  /// The recorded times contradict no collective: both clocks may be the same.
  bool may_be_same = false;
};

struct ClockAlignment {
  std::vector<RankClock> ranks;  ///< in order; the first is what the others are measured against
};

/// Two clocks do not drift apart faster: twice the 500 ppm that NTP allows to correct one by (RFC 5905, MAXFREQ).
inline constexpr double kMostDriftPpm = 1000;

ClockAlignment align_clocks(const MatchedCollectives& matched);

/// The instant by the first rank's clock; the time itself if the clocks may be the same, or nothing is known.
std::int64_t common_ns(const RankClock& clock, std::int64_t time_ns);
/// How wrong that may be; 0 for clocks that may be the same, which are believed to be.
double common_error_ns(const RankClock& clock);

}  // namespace shardscope
