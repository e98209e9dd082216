#pragma once
// A run as exporters need it: ranks one after the other, of each its ops with all texts, its tracks, and their slices
// in order of time, however they lie in the profile and however many they are.
//
//   RunReader reader(profile, run.id, "trace.json");
//   for (const ExportRank& rank : reader.ranks())
//     for (const ExportTrack& track : reader.tracks(rank.rank))
//       reader.slices(track, [&](const ExportSlice& slice) { ... });

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "profiler/query/op_order.h"
#include "profiler/store/profile.h"

namespace shardscope {

struct ExportRank {
  int rank = 0;
  std::int64_t program = 0;
};

/// The columns of the view op.
struct ExportOp {
  std::string kind, lane, phase, name, group;
  std::int64_t layer = -1, micro_batch = -1, group_size = 0, bytes = 0, collective_bytes = 0;
  double flops = 0;
  bool communication = false;
};

struct ExportTrack {
  std::int64_t id = 0;
  int rank = 0;
  std::string name;
};

struct ExportSlice {
  std::int32_t op = 0, step = 0;
  std::int64_t start_ns = 0, duration_ns = 0, wait_ns = 0;
  std::int64_t correlation = 0;                        ///< 0: none
  std::optional<std::int64_t> sequence, communicator;  ///< of a collective, where the profile knows them
};

struct ExportStep {
  int step = 0;
  std::int64_t start_ns = 0, duration_ns = 0;
  double loss = 0;  ///< NaN: unknown
};

/// A group of ranks, by its name on a rank.
struct ExportGroup {
  std::string name, ranks;  ///< ranks: JSON list; empty: unknown
};

/// Live bytes of one category in one space.
struct ExportMemory {
  std::int64_t time_ns = 0, live_bytes = 0;
  std::string space, category;
};

class RunReader {
 public:
  /// Slices that have to be put in order wait in a file without a name beside `out`.
  RunReader(const Profile& profile, std::int64_t run, std::string out)
      : profile_(profile), run_(run), beside_(std::move(out)) {}

  std::vector<ExportRank> ranks() const;
  std::vector<ExportOp> ops(const ExportRank& rank) const;
  std::vector<ExportTrack> tracks(int rank) const;  ///< those with slices, in the order in which they were made
  /// By start; of equal starts the longer first.
  void slices(const ExportTrack& track, const std::function<void(const ExportSlice&)>& f) const;
  void steps(int rank, const std::function<void(const ExportStep&)>& f) const;
  void memory(int rank, const std::function<void(const ExportMemory&)>& f) const;
  std::vector<ExportGroup> groups(int rank) const;  ///< none in profiles before version 5
  OpOrder order(int rank, const std::function<bool(std::int32_t)>& takes_time) const {
    return read_op_order(profile_, run_, rank, takes_time);
  }
  /// Of ops that a file names them for: JSON lists of the ranks of their groups, by op.
  std::map<std::int64_t, std::string> group_ranks(const ExportRank& rank) const;
  std::optional<std::int64_t> wall_clock_ns() const;  ///< since 1970, of the run's time 0

 private:
  const Profile& profile_;
  const std::int64_t run_;
  const std::string beside_;
};

}  // namespace shardscope
