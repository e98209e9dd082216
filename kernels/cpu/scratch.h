#pragma once
// Memory an op needs only while it runs. Grows to what the hungriest op needs, then allocates no more.
//
//   float* sums = scratch.take<float>(hidden);   // valid until the next reset()

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace shardscope {

class Scratch {
 public:
  /// `count` elements, uninitialised, aligned to a cache line.
  template <class T>
  T* take(std::int64_t count) {
    return reinterpret_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }

  /// Ends the life of all that was taken. One block from now on, large enough for what the last op took.
  void reset() {
    used_ = 0;
    if (blocks_.size() <= 1) return;
    std::size_t total = 0;
    for (const Block& block : blocks_) total += block.size;
    blocks_.clear();
    grow(total);
  }

 private:
  static constexpr std::size_t kLine = 64;
  struct Free {
    void operator()(std::byte* data) const { ::operator delete[](data, std::align_val_t{kLine}); }
  };
  struct Block {
    std::unique_ptr<std::byte[], Free> data;
    std::size_t size;
  };

  void grow(std::size_t bytes) {
    blocks_.push_back({std::unique_ptr<std::byte[], Free>(new (std::align_val_t{kLine}) std::byte[bytes]), bytes});
    used_ = 0;
  }

  std::byte* take_bytes(std::size_t bytes) {
    bytes = (bytes + kLine - 1) / kLine * kLine;
    if (blocks_.empty() || used_ + bytes > blocks_.back().size) grow(bytes);
    std::byte* data = blocks_.back().data.get() + used_;
    used_ += bytes;
    return data;
  }

  std::vector<Block> blocks_;
  std::size_t used_ = 0;  ///< of the last block
};

}  // namespace shardscope
