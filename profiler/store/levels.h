#pragma once
// Levels of detail: a lane's slices added up in buckets of 4^level ns, so that a picture reads about as many rows as it
// has pixels. Written when a run ends; profiler/query/timeline.h makes what is missing in memory.
//
//   std::vector<LevelEntry> fine = add_up(slices, level, classes);
//   std::vector<LevelEntry> coarse = coarsen(fine);            // level + 1
//   write_levels(connection, run);                             // all lanes of a run into the table level_chunk

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/trace.h"
#include "profiler/store/sqlite.h"
#include "profiler/store/step_parts.h"

namespace shardscope {

/// What a lane does in a stretch of time: a view has one colour for each.
enum class WorkClass : std::uint8_t {
  kLoad,
  kForward,
  kRecompute,
  kBackward,
  kOptimizer,
  kCommunication,
  kWait,  ///< the part of a collective spent waiting for the last rank
  kOffload,
  kCompute,  ///< of a phase that is not known, as in runs of other programs
  kHostApi,  ///< the host: its calls, operators and annotations
  kOther
};
inline constexpr int kWorkClasses = 11;
std::string_view to_string(WorkClass work);

// Lanes of ops of other programs that are not one of ours (op.lane; the track has the stream's or thread's own name).
inline constexpr std::string_view kHostApiLane = "host_api", kOtherLane = "other";

/// Of an op, by the texts the profile has of it.
WorkClass work_class(std::string_view lane, std::string_view phase, bool communication);
/// What that work keeps busy; kNone: waiting, and what the host does.
Activity activity_of(WorkClass work);

/// Time of one class in one bucket, and the op that took most of it.
struct LevelEntry {
  std::int64_t bucket = 0;  ///< from bucket * 4^level ns on
  WorkClass work = WorkClass::kForward;
  std::int64_t busy_ns = 0;  ///< > 0
  std::int32_t op = -1;
  std::int64_t op_ns = 0;  ///< its part of busy_ns
  friend bool operator==(const LevelEntry&, const LevelEntry&) = default;
};

inline constexpr int kLevelFactor = 4;
inline constexpr int kMaxLevel = 28;         ///< 4^28 ns: two years
inline constexpr int kMinLevelSlices = 256;  ///< lanes with fewer are read as they are

constexpr std::int64_t bucket_ns(int level) { return std::int64_t{1} << (2 * level); }
/// The finest level worth keeping: about four slices a bucket, so that all levels together are smaller than the slices.
int finest_level(std::int64_t slices, std::int64_t extent_ns);
/// The coarsest: at least a few buckets over `end_ns`.
int coarsest_level(std::int64_t end_ns);

/// By bucket, then class. `classes` by op index; slices of ops outside of it are left out. A slice that spans buckets
/// is divided. Any order of slices.
std::vector<LevelEntry> add_up(std::span<const SliceEvent> slices, int level, std::span<const WorkClass> classes);
/// The same one level up. The op of a bucket is the longest of its parts' ops.
std::vector<LevelEntry> coarsen(std::span<const LevelEntry> entries);

std::string pack(std::span<const LevelEntry> entries);
/// Reads what pack() writes, and JSON as version 2 did. False if it is neither; entries before the bad one have been
/// appended.
bool decode_levels(std::string_view data, std::vector<LevelEntry>& entries);

/// Class of each op of a program, by index. Throws Error as Rows does.
std::vector<WorkClass> load_work_classes(sqlite3* database, const std::string& file, std::int64_t program);
/// Adds the levels of all lanes of `run` that have none, in one transaction.
void write_levels(Connection& connection, std::int64_t run);

}  // namespace shardscope
