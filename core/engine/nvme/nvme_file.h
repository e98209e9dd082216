#pragma once
// One rank's swap file: what the nvme space of its program is, for real. Reads and writes go past the page cache
// (O_DIRECT) and keep several requests in flight (io_uring, or threads where that is forbidden). Every block has a
// checksum in memory.
//
//   NvmeFile file({.folder = "/mnt/nvme", .rank = 3, .bytes = program.arena_bytes[nvme], .aio = training.aio});
//   file.write(0, bytes);   file.read(0, bytes);
//
// The file has no name: it is gone when the process is, however that ends. One thread may read while another writes;
// they must not touch the same block.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/engine/nvme/block_checksum.h"
#include "core/engine/nvme/block_queue.h"
#include "core/spec/training_spec.h"

namespace shardscope {

struct NvmeFileOptions {
  std::string folder;
  int rank = 0;            ///< for messages
  std::int64_t bytes = 0;  ///< taken from the file system at once
  AioSpec aio;
  bool use_uring = true;  ///< false: plain reads and writes, as where io_uring is forbidden
};

class NvmeFile {
 public:
  /// Throws Error{kConfig} if the folder is missing or not writable, Error{kIo} if the file system has too little room.
  explicit NvmeFile(const NvmeFileOptions& options);
  ~NvmeFile();
  NvmeFile(const NvmeFile&) = delete;
  NvmeFile& operator=(const NvmeFile&) = delete;

  /// Throws Error{kIo} with folder, offset and operation if the system refuses, the file ends early, or a block is not
  /// what was written. What was never written reads as zeros.
  void read(std::int64_t offset, std::span<std::byte> to);
  /// `offset` is a multiple of kSwapBlock; the rest of the last block becomes zero. Throws as read().
  void write(std::int64_t offset, std::span<const std::byte> from);
  /// Writes any bytes and keeps those around them: slower where they are not whole blocks.
  void patch(std::int64_t offset, std::span<const std::byte> from);

  /// Memory that most transfers will use.
  void register_memory(std::byte* base, std::int64_t bytes);
  std::int64_t size() const { return size_; }
  /// "io_uring, past the page cache": how it works here.
  std::string describe() const;
  int descriptor() const { return file_; }

 private:
  class Transfer;
  /// What moves bytes one way: queues that share each transfer, and room for what cannot go directly.
  struct Direction {
    std::vector<std::unique_ptr<BlockQueue>> queues;
    std::vector<std::byte*> bounce;  ///< by queue: depth * block_size_ bytes, taken when first needed
  };

  void open_file();
  void reserve();
  void check_direct();
  void make_queues(Direction& direction, bool uring);
  void run(Direction& direction, std::int64_t offset, std::byte* memory, std::int64_t bytes, bool writes);
  std::string describe_place() const;

  NvmeFileOptions options_;
  int file_ = -1;
  bool direct_ = true;
  std::int64_t size_ = 0, block_size_ = 0;
  int depth_ = 1;
  Direction reading_, writing_;
  std::vector<std::uint32_t> sums_;  ///< by block; 0: never written
};

}  // namespace shardscope
