#pragma once
// The RankTrace of a profile. Its producers (lane threads, the rank's thread) only append to queues; its one consumer,
// the writer's background thread, turns what came in into rows with collect().

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/trace.h"
#include "profiler/store/chunks.h"
#include "profiler/store/event_queue.h"
#include "profiler/store/step_parts.h"

namespace shardscope {

/// What all recorders of a run share.
struct RecorderControl {
  std::atomic<bool> stopped{false};  ///< nothing more is kept (disk full, or the run is over)
  bool wait_when_full = false;       ///< predicted runs wait for the disk; measured ones drop and count
  std::function<void()> wake;        ///< asks the consumer to come now; called without locks
};

struct OpTotal {
  std::int64_t count = 0, total_ns = 0, min_ns = 0, max_ns = 0, wait_ns = 0, exposed_ns = 0;
};

struct StepRow {
  StepEvent event;
  DividedStep parts;
};

/// Rows of one rank that are ready to be written.
struct RankBatch {
  std::vector<std::pair<Lane, EventChunk>> slices;
  std::vector<EventChunk> memory;
  std::vector<StepRow> steps;
};

/// Rows that were not kept, by reason.
struct RankProblems {
  std::int64_t dropped = 0, invalid_slices = 0, late_slices = 0, invalid_memory = 0, invalid_steps = 0;
};

class RankRecorder : public RankTrace {
 public:
  /// `file`, if there is one, must live longer.
  RankRecorder(int rank, const Program& program, RecorderControl& control, EventFile* file = nullptr);
  /// Of a program that is known by its rows, for events that were left behind (recover.h).
  RankRecorder(int rank, std::vector<Activity> activities, RecorderControl& control);

  // producers
  void slice(const SliceEvent& event) override;
  void memory(const MemoryEvent& event) override;
  void step(const StepEvent& event) override;
  void finish(const MemoryPeak& peak, std::int64_t rss_bytes) override;

  // consumer
  void collect(RankBatch& batch);  ///< adds what came in since the last call
  /// Events collected so far of each queue that had any: "[rank, kind, lane, count]", with commas between them.
  std::string collected() const;
  void release();                    ///< what was collected is in the profile
  void resume_after(int last_step);  ///< steps up to this one are divided already
  int rank() const { return rank_; }
  bool finished();
  std::int64_t rss_bytes();
  MemoryPeak peak();                                              ///< given by finish(), before that as the samples say
  const std::vector<OpTotal>& totals() const { return totals_; }  ///< by op id
  RankProblems problems() const;

 private:
  void record_base(const Program& program);
  template <class Event>
  void push(EventQueue<Event>& queue, const Event& event);
  void take(SliceEvent event);
  void take(const MemoryEvent& event);
  void divide(const StepEvent& event, RankBatch& batch);

  const int rank_;
  RecorderControl& control_;
  std::array<EventQueue<SliceEvent>, kLanes> slices_;
  EventQueue<MemoryEvent> memory_;
  EventQueue<StepEvent> steps_;
  std::atomic<std::int64_t> dropped_{0};
  std::mutex finish_mutex_;
  std::optional<MemoryPeak> final_peak_;
  std::int64_t rss_bytes_ = 0;

  // consumer
  std::vector<Activity> activities_;  ///< by op
  std::vector<OpTotal> totals_;
  std::map<std::int32_t, std::vector<ActiveSlice>> open_steps_;
  std::int32_t last_step_ = -1;
  MemoryTable live_;
  MemoryPeak tracked_peak_;
  RankProblems problems_;
  std::vector<SliceEvent> slice_scratch_;
  std::vector<MemoryEvent> memory_scratch_;
};

}  // namespace shardscope
