#pragma once
// Levels of detail of a track of any length, in the memory of a few buckets: slices come in order of time, entries of
// all levels go out some thousands at a time. Where slices are nested or overlap, the time belongs to the one that
// began last, so that no bucket is busier than it is long.
//
//   LevelBuilder builder(finest, coarsest, classes, [](int level, std::span<const LevelEntry> entries) { ... });
//   for (const SliceEvent& slice : in_order) builder.add(slice);
//   builder.finish();

#include <functional>
#include <span>
#include <vector>

#include "profiler/store/levels.h"

namespace shardscope {

class LevelBuilder {
 public:
  using Write = std::function<void(int level, std::span<const LevelEntry> entries)>;
  /// `classes` by op index must live as long as the builder; slices of other ops are left out.
  LevelBuilder(int finest, int coarsest, std::span<const WorkClass> classes, Write write);
  void add(const SliceEvent& slice);  ///< by start; of equal starts the longer first
  void finish();

 private:
  struct Open {  ///< a slice that has begun
    std::int64_t wait_end_ns, end_ns;
    std::int32_t op;
  };
  struct Part {  ///< time of one op in the finest bucket
    WorkClass work;
    std::int32_t op;
    std::int64_t ns;
  };
  struct Level {
    std::int64_t bucket = -1;
    std::array<LevelEntry, kWorkClasses> sums{};
    std::vector<LevelEntry> ready;
  };
  void close_until(std::int64_t time_ns);
  void emit(const Open& slice, std::int64_t end_ns);
  void divide(std::int64_t begin_ns, std::int64_t end_ns, WorkClass work, std::int32_t op);
  void add_up_parts();
  void flush_finest();
  void add_entry(std::size_t level, const LevelEntry& entry);
  void flush_level(std::size_t level);

  const int finest_;
  const std::span<const WorkClass> classes_;
  const Write write_;
  std::vector<Open> open_;
  std::int64_t now_ns_ = 0, bucket_ = -1;
  std::vector<Part> parts_;  ///< of bucket_
  std::vector<Level> levels_;
};

}  // namespace shardscope
