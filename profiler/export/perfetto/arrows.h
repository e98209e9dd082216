#pragma once
// Arrows from launches to what they launched: both ends of a rank, put in order by their correlation. Any number of
// them in little memory.
//
//   Arrows arrows("trace.json");
//   arrows.add_launch(correlation, row, start_ns);
//   arrows.add_launched(correlation, row, start_ns);
//   arrows.each([](const Arrow& arrow) { ... });

#include <cstdint>
#include <functional>
#include <string>

#include "profiler/import/slice_spool.h"

namespace shardscope {

struct Arrow {
  struct End {
    std::int32_t row = 0;  ///< whatever the caller numbers
    std::int64_t time_ns = 0;
  };
  End from, to;
};

class Arrows {
 public:
  explicit Arrows(const std::string& beside) : spool_(beside), ends_(spool_.add_track()) {}
  void add_launch(std::int64_t correlation, std::int32_t row, std::int64_t time_ns) {
    add(correlation, row, time_ns, 1);
  }
  void add_launched(std::int64_t correlation, std::int32_t row, std::int64_t time_ns) {
    add(correlation, row, time_ns, 0);
  }
  /// One for each thing launched, from the latest begun launch of its correlation: of calls within calls the inner.
  void each(const std::function<void(const Arrow&)>& f);

 private:
  /// The spool sorts by start, longer first: by correlation, launches first.
  void add(std::int64_t correlation, std::int32_t row, std::int64_t time_ns, std::int64_t is_launch) {
    if (correlation > 0) spool_.add(ends_, {OpId{row}, 0, Lane::kCompute, correlation, is_launch, time_ns, 0});
  }
  SliceSpool spool_;
  std::size_t ends_;
};

}  // namespace shardscope
