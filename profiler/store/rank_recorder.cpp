#include "profiler/store/rank_recorder.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

namespace shardscope {
namespace {

/// Events of one queue that may wait for the disk: about 40 MB. The consumer is woken at half of it.
constexpr std::int64_t kMaxPending = 1 << 20;
/// About 146 years; sums of two do not overflow.
constexpr std::int64_t kLargestTime = std::numeric_limits<std::int64_t>::max() / 2;

bool is_time(std::int64_t ns) { return ns >= 0 && ns <= kLargestTime / 2; }

template <class Event>
void encode_all(const std::vector<Event>& events, std::vector<EventChunk>& chunks) {
  const std::span<const Event> all(events);
  for (std::size_t at = 0; at < all.size(); at += kChunkRows) {
    chunks.push_back(encode(all.subspan(at, std::min(kChunkRows, all.size() - at))));
  }
}

std::vector<Activity> activities_of(const Program& program) {
  std::vector<Activity> activities;
  activities.reserve(program.instructions.size());
  for (const Instruction& instruction : program.instructions) activities.push_back(activity_of(instruction));
  return activities;
}

}  // namespace

RankRecorder::RankRecorder(int rank, const Program& program, RecorderControl& control, EventFile* file)
    : RankRecorder(rank, activities_of(program), control) {
  for (std::size_t lane = 0; lane < slices_.size(); ++lane)
    slices_[lane].use(file, {EventKind::kSlice, static_cast<std::uint16_t>(lane), rank});
  memory_.use(file, {EventKind::kMemory, 0, rank});
  steps_.use(file, {EventKind::kStep, 0, rank});
  record_base(program);
}

RankRecorder::RankRecorder(int rank, std::vector<Activity> activities, RecorderControl& control)
    : rank_(rank), control_(control), activities_(std::move(activities)), totals_(activities_.size()) {}

/// What lives from before the first step on, as samples of op -1: later ones have it in their sums.
void RankRecorder::record_base(const Program& program) {
  MemoryTable base;
  for (const Buffer& buffer : program.buffers) {
    if (buffer.persistent)
      base.bytes[static_cast<std::size_t>(buffer.space)][static_cast<std::size_t>(buffer.category)] += buffer.bytes();
  }
  for (std::size_t space = 0; space < kSpaces; ++space) {
    for (std::size_t category = 0; category < kCategories; ++category) {
      const std::int64_t bytes = base.bytes[space][category];
      if (bytes > 0) memory({OpId{}, 0, 0, static_cast<Space>(space), static_cast<Category>(category), bytes});
    }
  }
}

template <class Event>
void RankRecorder::push(EventQueue<Event>& queue, const Event& event) {
  if (control_.stopped.load(std::memory_order_relaxed)) return;
  if (queue.at_chunk_end()) {
    if (queue.pending() > kMaxPending / 2 || queue.is_crowded()) control_.wake();
    while (queue.pending() > kMaxPending) {
      if (!control_.wait_when_full || control_.stopped.load()) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      control_.wake();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  queue.push(event);
}

void RankRecorder::slice(const SliceEvent& event) { push(slices_[static_cast<std::size_t>(event.lane)], event); }
void RankRecorder::memory(const MemoryEvent& event) { push(memory_, event); }
void RankRecorder::step(const StepEvent& event) { push(steps_, event); }

void RankRecorder::finish(const MemoryPeak& peak, std::int64_t rss_bytes) {
  const std::lock_guard lock(finish_mutex_);
  final_peak_ = peak;
  rss_bytes_ = rss_bytes;
}

void RankRecorder::collect(RankBatch& batch) {
  // Steps first: the slices of a step were all pushed before it, so every one of them is seen below.
  std::vector<StepEvent> steps;
  steps_.drain([&](const StepEvent& event) { steps.push_back(event); });
  for (int lane = 0; lane < kLanes; ++lane) {
    slice_scratch_.clear();
    slices_[static_cast<std::size_t>(lane)].drain([this](const SliceEvent& event) { take(event); });
    std::vector<EventChunk> chunks;
    encode_all(slice_scratch_, chunks);
    for (EventChunk& chunk : chunks) batch.slices.emplace_back(static_cast<Lane>(lane), std::move(chunk));
  }
  memory_scratch_.clear();
  memory_.drain([this](const MemoryEvent& event) { take(event); });
  encode_all(memory_scratch_, batch.memory);
  for (const StepEvent& event : steps) divide(event, batch);
}

std::string RankRecorder::collected() const {
  std::string all;
  const auto add = [&](EventKind kind, std::size_t lane, std::int64_t count) {
    if (count == 0) return;
    all += (all.empty() ? "[" : ",[") + std::to_string(rank_) + "," + std::to_string(static_cast<int>(kind)) + "," +
           std::to_string(lane) + "," + std::to_string(count) + "]";
  };
  for (std::size_t lane = 0; lane < slices_.size(); ++lane) add(EventKind::kSlice, lane, slices_[lane].drained());
  add(EventKind::kMemory, 0, memory_.drained());
  add(EventKind::kStep, 0, steps_.drained());
  return all;
}

void RankRecorder::release() {
  for (auto& lane : slices_) lane.release();
  memory_.release();
  steps_.release();
}

void RankRecorder::resume_after(int last_step) { last_step_ = last_step; }

void RankRecorder::take(SliceEvent event) {
  const auto op = static_cast<std::size_t>(event.op.index);
  if (event.op.index < 0 || op >= activities_.size() || !is_time(event.start_ns) || !is_time(event.duration_ns) ||
      event.wait_ns < 0) {
    ++problems_.invalid_slices;
    return;
  }
  event.wait_ns = std::min(event.wait_ns, event.duration_ns);  // two clock readings apart
  slice_scratch_.push_back(event);
  OpTotal& total = totals_[op];
  total.min_ns = total.count == 0 ? event.duration_ns : std::min(total.min_ns, event.duration_ns);
  total.max_ns = std::max(total.max_ns, event.duration_ns);
  total.total_ns += event.duration_ns;
  total.wait_ns += event.wait_ns;
  ++total.count;
  if (event.step <= last_step_) {
    ++problems_.late_slices;
  } else if (activities_[op] != Activity::kNone) {
    open_steps_[event.step].push_back(
        {event.op.index, activities_[op], event.start_ns, event.start_ns + event.duration_ns});
  }
}

void RankRecorder::take(const MemoryEvent& event) {
  const auto space = static_cast<std::size_t>(event.space), category = static_cast<std::size_t>(event.category);
  if (space >= kSpaces || category >= kCategories || !is_time(event.time_ns) || event.live_bytes < 0) {
    ++problems_.invalid_memory;
    return;
  }
  memory_scratch_.push_back(event);
  live_.bytes[space][category] = event.live_bytes;
  std::int64_t& own = tracked_peak_.peak_by_category.bytes[space][category];
  own = std::max(own, event.live_bytes);
  const std::int64_t total = live_.total(event.space);
  if (total > tracked_peak_.peak_bytes[space]) {
    tracked_peak_.peak_bytes[space] = total;
    tracked_peak_.at_peak.bytes[space] = live_.bytes[space];
    tracked_peak_.at[space] = event.op;
  }
}

void RankRecorder::divide(const StepEvent& event, RankBatch& batch) {
  if (event.step <= last_step_ || !is_time(event.start_ns) || !is_time(event.duration_ns)) {
    ++problems_.invalid_steps;
    return;
  }
  last_step_ = event.step;
  const auto exposed = [this](std::int32_t op, std::int64_t ns) {
    totals_[static_cast<std::size_t>(op)].exposed_ns += ns;
  };
  const DividedStep parts = divide_step(open_steps_[event.step], event.start_ns, event.duration_ns, exposed);
  batch.steps.push_back({event, parts});
  open_steps_.erase(open_steps_.begin(), open_steps_.upper_bound(event.step));
}

bool RankRecorder::finished() {
  const std::lock_guard lock(finish_mutex_);
  return final_peak_.has_value();
}

std::int64_t RankRecorder::rss_bytes() {
  const std::lock_guard lock(finish_mutex_);
  return rss_bytes_;
}

MemoryPeak RankRecorder::peak() {
  const std::lock_guard lock(finish_mutex_);
  return final_peak_.value_or(tracked_peak_);
}

RankProblems RankRecorder::problems() const {
  RankProblems problems = problems_;
  problems.dropped = dropped_.load();
  return problems;
}

}  // namespace shardscope
