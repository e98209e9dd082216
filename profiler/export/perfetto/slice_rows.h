#pragma once
// Which row of a track does a slice go to, so that slices of one row are apart or nested? Viewers of Chrome's format
// show nothing else well.
//
//   SliceRows rows;
//   std::size_t row = rows.place(start_ns, end_ns);    // 0 unless it overlaps what is there; slices by start

#include <algorithm>
#include <cstdint>
#include <vector>

namespace shardscope {

class SliceRows {
 public:
  /// Slices come by start, of equal starts the longer first.
  std::size_t place(std::int64_t start_ns, std::int64_t end_ns) {
    for (std::size_t row = 0; row < open_.size(); ++row) {
      std::vector<std::int64_t>& ends = open_[row];
      while (!ends.empty() && ends.back() <= start_ns) ends.pop_back();
      if (!ends.empty() && ends.back() < end_ns && row + 1 < kMostRows) continue;
      ends.push_back(end_ns);
      return row;
    }
    open_.push_back({end_ns});
    return open_.size() - 1;
  }

 private:
  static constexpr std::size_t kMostRows = 1000;  ///< a broken profile gets overlaps rather than all of the memory
  std::vector<std::vector<std::int64_t>> open_;   ///< by row: ends of what is under way, the innermost last
};

}  // namespace shardscope
