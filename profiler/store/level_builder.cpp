#include "profiler/store/level_builder.h"

#include <algorithm>
#include <tuple>

#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

constexpr std::size_t kDeepest = 4096;    ///< of nested slices; what lies deeper counts as its parent
constexpr std::size_t kMostParts = 4096;  ///< of one bucket before those of one op are added up

}  // namespace

LevelBuilder::LevelBuilder(int finest, int coarsest, std::span<const WorkClass> classes, Write write)
    : finest_(finest),
      classes_(classes),
      write_(std::move(write)),
      levels_(static_cast<std::size_t>(std::max(coarsest - finest, 0) + 1)) {}

void LevelBuilder::add(const SliceEvent& slice) {
  if (slice.op.index < 0 || static_cast<std::size_t>(slice.op.index) >= classes_.size() || slice.start_ns < 0) return;
  close_until(slice.start_ns);
  if (!open_.empty()) emit(open_.back(), slice.start_ns);
  now_ns_ = std::max(now_ns_, slice.start_ns);
  if (open_.size() >= kDeepest) return;
  open_.push_back({slice.start_ns + std::min(slice.wait_ns, slice.duration_ns), slice.start_ns + slice.duration_ns,
                   slice.op.index});
}

void LevelBuilder::close_until(std::int64_t time_ns) {
  while (!open_.empty() && open_.back().end_ns <= time_ns) {
    emit(open_.back(), open_.back().end_ns);
    open_.pop_back();
  }
}

/// The slice has the time from now to `end_ns`.
void LevelBuilder::emit(const Open& slice, std::int64_t end_ns) {
  const std::int64_t waited = std::clamp(slice.wait_end_ns, now_ns_, std::max(now_ns_, end_ns));
  divide(now_ns_, waited, WorkClass::kWait, slice.op);
  divide(waited, end_ns, classes_[static_cast<std::size_t>(slice.op)], slice.op);
  now_ns_ = std::max(now_ns_, end_ns);
}

void LevelBuilder::divide(std::int64_t begin_ns, std::int64_t end_ns, WorkClass work, std::int32_t op) {
  while (begin_ns < end_ns) {
    const std::int64_t bucket = begin_ns >> (2 * finest_), stop = std::min(end_ns, (bucket + 1) << (2 * finest_));
    if (bucket != bucket_) flush_finest();
    bucket_ = bucket;
    parts_.push_back({work, op, stop - begin_ns});
    if (parts_.size() >= kMostParts) add_up_parts();
    begin_ns = stop;
  }
}

void LevelBuilder::add_up_parts() {
  const auto key = [](const Part& p) { return std::tuple(p.work, p.op); };
  std::sort(parts_.begin(), parts_.end(), [&](const Part& a, const Part& b) { return key(a) < key(b); });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (kept > 0 && key(parts_[kept - 1]) == key(parts_[i])) {
      parts_[kept - 1].ns += parts_[i].ns;
    } else {
      parts_[kept++] = parts_[i];
    }
  }
  parts_.resize(kept);
}

void LevelBuilder::flush_finest() {
  if (parts_.size() > 1) add_up_parts();
  for (std::size_t i = 0; i < parts_.size();) {
    LevelEntry entry{bucket_, parts_[i].work, 0, parts_[i].op, 0};
    for (; i < parts_.size() && parts_[i].work == entry.work; ++i) {
      entry.busy_ns += parts_[i].ns;
      if (parts_[i].ns > entry.op_ns) std::tie(entry.op, entry.op_ns) = std::tuple(parts_[i].op, parts_[i].ns);
    }
    add_entry(0, entry);
  }
  parts_.clear();
}

/// Of a level: what comes for one bucket is added up until the next bucket comes.
void LevelBuilder::add_entry(std::size_t level, const LevelEntry& entry) {
  Level& at = levels_[level];
  if (at.bucket != entry.bucket) flush_level(level);
  at.bucket = entry.bucket;
  LevelEntry& sum = at.sums[static_cast<std::size_t>(entry.work)];
  sum.busy_ns += entry.busy_ns;
  if (entry.op_ns > sum.op_ns) std::tie(sum.op, sum.op_ns) = std::tuple(entry.op, entry.op_ns);
}

void LevelBuilder::flush_level(std::size_t level) {
  Level& at = levels_[level];
  for (std::size_t c = 0; c < kWorkClasses; ++c) {
    if (at.sums[c].busy_ns == 0) continue;
    LevelEntry entry{at.bucket, static_cast<WorkClass>(c), at.sums[c].busy_ns, at.sums[c].op, at.sums[c].op_ns};
    at.ready.push_back(entry);
    entry.bucket /= kLevelFactor;
    if (level + 1 < levels_.size()) add_entry(level + 1, entry);
  }
  at.sums = {};
  if (at.ready.size() + kWorkClasses < kChunkRows) return;
  write_(finest_ + static_cast<int>(level), at.ready);
  at.ready.clear();
}

void LevelBuilder::finish() {
  while (!open_.empty()) {
    emit(open_.back(), open_.back().end_ns);
    open_.pop_back();
  }
  flush_finest();
  for (std::size_t level = 0; level < levels_.size(); ++level) {
    flush_level(level);
    if (!levels_[level].ready.empty()) write_(finest_ + static_cast<int>(level), levels_[level].ready);
    levels_[level].ready.clear();
  }
}

}  // namespace shardscope
