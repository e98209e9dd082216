#pragma once
// Slices of any number, in any order, in little memory: they wait packed in a file without a name beside the profile,
// and come back track by track in order of time.
//
//   SliceSpool spool("run.db");
//   spool.add(track, slice);
//   for (SliceMerge merge(spool, {track}); merge.next(slice);) use(slice);

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "profiler/store/chunks.h"
#include "profiler/store/packed.h"

namespace shardscope {

/// By start; of equal starts the longer first, so that a slice comes before those nested in it.
constexpr bool comes_before(const SliceEvent& a, const SliceEvent& b) {
  return a.start_ns != b.start_ns ? a.start_ns < b.start_ns : a.duration_ns > b.duration_ns;
}

class SliceSpool {
 public:
  struct Block {
    std::int64_t start_ns, offset;
    std::uint32_t size;
  };
  /// What is known of a track without reading it.
  struct Track {
    std::vector<Block> blocks;
    std::int64_t slices = 0, start_ns = 0, end_ns = 0;  ///< of all its slices
    std::vector<SliceEvent> waiting;                    ///< not yet in the file
  };

  /// The file lies in the folder of `beside`. Throws Error{kIo} if it cannot be made.
  explicit SliceSpool(const std::string& beside);
  ~SliceSpool();
  SliceSpool(const SliceSpool&) = delete;
  SliceSpool& operator=(const SliceSpool&) = delete;

  std::size_t add_track();
  /// Any start; the duration is not negative. Throws Error{kIo} if the disk is full.
  void add(std::size_t track, const SliceEvent& slice) {
    Track& to = tracks_[track];
    to.waiting.push_back(slice);
    if (to.waiting.size() >= kChunkRows || ++waiting_ >= kMostWaiting) flush(track);
  }
  const Track& track(std::size_t track) const { return tracks_[track]; }
  std::size_t tracks() const { return tracks_.size(); }

  void flush();  ///< everything into the file: before it is read
  Block write(std::vector<SliceEvent>& slices);
  std::string read(const Block& block) const;

 private:
  static constexpr std::size_t kMostWaiting = 256 << 10;  ///< slices of all tracks, 14 MB
  void flush(std::size_t track);
  const std::string folder_;
  int file_ = -1;
  std::int64_t size_ = 0;
  std::size_t waiting_ = 0;
  std::vector<Track> tracks_;
};

/// The slices of some tracks in order, from a flushed spool.
class SliceMerge {
 public:
  SliceMerge(SliceSpool& spool, std::span<const std::size_t> tracks);
  bool next(SliceEvent& slice);

 private:
  struct Run {  ///< a block that is being read
    std::string data;
    PackedReader<6> reader;
    std::int64_t base_ns;
    SliceEvent slice;
    bool advance();
    Run(std::string bytes, std::int64_t base) : data(std::move(bytes)), reader(data), base_ns(base) {}
  };
  void open_next();
  void reduce();
  SliceSpool& spool_;
  std::vector<SliceSpool::Block> blocks_;  ///< by start
  std::size_t opened_ = 0;
  std::vector<std::unique_ptr<Run>> runs_;  ///< a heap, the earliest first
};

}  // namespace shardscope
