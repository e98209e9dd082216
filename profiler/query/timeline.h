#pragma once
// What did each lane of each rank do when? As much of it as a picture can show: spans where they are wide enough, else
// time by class of work in buckets about a pixel wide.
//
//   Timeline timeline(profile, run.id);
//   for (const TimelineTrack& track : timeline.tracks())
//     TrackView view = timeline.look(track, {begin_ns, end_ns}, pixels);
//
// Reads the levels of detail that the profile holds; where it holds none (a run under way, an older file) they are made
// in memory when first needed. One object per thread, like its Profile, which must outlive it.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "profiler/store/chunks.h"
#include "profiler/store/levels.h"
#include "profiler/store/profile.h"

namespace shardscope {

struct TimeWindow {
  std::int64_t begin_ns = 0, end_ns = 0;
  std::int64_t length() const { return end_ns - begin_ns; }
  friend bool operator==(const TimeWindow&, const TimeWindow&) = default;
};

/// From one to another, both included, but for some.
struct RankSet {
  int first = 0, last = 0;
  std::vector<int> without = {};  ///< ascending
  bool has(int rank) const {
    return rank >= first && rank <= last && !std::binary_search(without.begin(), without.end(), rank);
  }
};

/// One lane of one rank.
struct TimelineTrack {
  std::int64_t id = 0, program = 0;
  int rank = 0;
  std::string lane;
  std::int64_t slices = 0;
  TimeWindow extent;
  int depth = 1;  ///< rows it is drawn in: set by who asks nesting(), for lanes whose slices may lie in one another
};

/// An op of a program, for labels and colours.
struct TimelineOp {
  std::string kind, phase, name, group;
  int layer = -1, micro_batch = -1, group_size = 0;
  double flops = 0;
  std::int64_t bytes = 0;
  WorkClass work = WorkClass::kForward;
};

/// One execution of an op.
struct Span {
  std::int64_t begin_ns = 0, end_ns = 0;
  std::int64_t wait_ns = 0;  ///< its first part, spent waiting for other ranks
  std::int32_t op = 0, step = 0;
  std::int32_t depth = 0;  ///< in how many others it lies, where set_depths() was asked; no part of what it is
  friend bool operator==(const Span& a, const Span& b) {
    return a.begin_ns == b.begin_ns && a.end_ns == b.end_ns && a.wait_ns == b.wait_ns && a.op == b.op &&
           a.step == b.step;
  }
};

/// Host threads call within calls: sorts the spans of one lane, callers before what they call, and sets their depth.
/// All that overlap some stretch of time tell the right depth of each.
void set_depths(std::vector<Span>& spans);

/// Either spans, in order of time, or (bucket_ns > 0) entries of one level.
struct TrackView {
  std::vector<Span> spans;
  std::int64_t bucket_ns = 0;
  std::vector<LevelEntry> buckets;
};

/// A stretch above the rows: a step, a phase, a micro-batch.
struct Band {
  TimeWindow time;
  std::string name, mark;  ///< "step 12", and "12" where that has no room
  int number = 0;          ///< of the step or micro-batch; for a phase, its Phase
};

struct TiedSpan {
  std::size_t track = 0;  ///< index into tracks()
  Span span;
};

class Timeline {
 public:
  Timeline(const Profile& profile, std::int64_t run);

  const std::vector<TimelineTrack>& tracks() const { return tracks_; }  ///< by rank, lanes in the order of Lane
  TimeWindow extent() const { return extent_; }                         ///< of everything; empty without slices
  const TimelineOp& op(const TimelineTrack& track, std::int32_t op) const;
  const std::map<std::int64_t, std::vector<TimelineOp>>& ops() const { return ops_; }  ///< by program, op

  /// What of a track lies in the window, for `pixels` columns. Spans if there are at most two per pixel.
  TrackView look(const TimelineTrack& track, TimeWindow window, int pixels) const;
  /// For who asks of many lanes, one after the other.
  LockHold hold() const { return LockHold(profile_); }
  /// All executions in the window, however many.
  std::vector<Span> spans(const TimelineTrack& track, TimeWindow window) const;

  /// The same for sums over many: of tracks()[first] to [last], whose ids follow one another, lane after lane and some
  /// slices at a time. Within a lane their order may be another, and some may lie outside of the window.
  void blocks(std::size_t first, std::size_t last, TimeWindow window,
              const std::function<void(std::size_t track, const SliceBlock&)>& f) const;

  /// How deep the slices of a lane lie in one another, as far as its first kNestingRows tell; 1 for lanes of our own
  /// engine, which run one op after the other.
  int nesting(const TimelineTrack& track) const;
  static constexpr int kNestingRows = 32, kDeepest = 12;

  std::vector<Band> steps(int rank) const;
  /// Of a rank's compute lane: stretches of one phase, of one micro-batch.
  std::vector<Band> phases(const TimelineTrack& track, const std::vector<Span>& spans) const;
  std::vector<Band> micro_batches(const TimelineTrack& track, const std::vector<Span>& spans) const;

  /// What the span launched on another lane of its rank, or what launched it, where the file says so. Looked for around
  /// it, up to kLaunchNs away.
  std::vector<TiedSpan> launched(std::size_t track, const Span& span) const;
  static constexpr std::int64_t kLaunchNs = 2'000'000'000;
  /// The same collective on the other ranks: same lane, step and label, and under way at the same time. The profile
  /// does not say which ranks form a group, so of groups of one name those that overlap in time are all given. A send
  /// is not tied to its recv.
  std::vector<TiedSpan> tied(std::size_t track, const Span& span) const;

 private:
  struct Levels {
    int finest = -1, coarsest = -1;  ///< -1: none in the file
    std::map<int, std::vector<LevelEntry>> made;
  };
  void for_each_slice(const TimelineTrack& track, TimeWindow window,
                      const std::function<void(const SliceEvent&)>& f) const;
  std::vector<LevelEntry> entries(const TimelineTrack& track, int level, TimeWindow window) const;
  const Levels& levels(const TimelineTrack& track) const;
  void make_levels(const TimelineTrack& track, Levels& levels) const;
  [[noreturn]] void fail_damaged(const TimelineTrack& track) const;
  void load_tracks(std::int64_t run);
  void load_levels(std::int64_t run);
  void load_ops(std::int64_t program);

  const Profile& profile_;
  std::int64_t run_;
  std::vector<TimelineTrack> tracks_;
  TimeWindow extent_;
  std::map<std::int64_t, std::vector<TimelineOp>> ops_;  ///< by program
  mutable std::map<std::int64_t, Levels> levels_;        ///< by track
};

}  // namespace shardscope
