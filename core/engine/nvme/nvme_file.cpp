#include "core/engine/nvme/nvme_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <thread>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

/// Threads that stand in for requests in flight where io_uring is forbidden: more would mostly wait for a core.
constexpr int kMostThreads = 16;

std::int64_t round_up(std::int64_t bytes) { return (bytes + kSwapBlock - 1) / kSwapBlock * kSwapBlock; }
std::int64_t round_down(std::int64_t bytes) { return bytes / kSwapBlock * kSwapBlock; }

std::byte* map_memory(std::int64_t bytes) {
  void* const memory =
      ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error(ErrorKind::kDevice, fmt::format("no memory for {} bytes of the swap file's own buffers", bytes));
  }
  return static_cast<std::byte*>(memory);
}

}  // namespace

// ---------------------------------------------------------------- one transfer

/// Cuts a range of bytes into requests of whole blocks. A request that is whole in memory that the drive can reach goes
/// directly, any other through a buffer of ours.
class NvmeFile::Transfer final : public QueueClient {
 public:
  Transfer(NvmeFile& file, std::int64_t offset, std::byte* memory, std::int64_t bytes, bool writes, std::byte*& bounce)
      : file_(file),
        begin_(offset),
        end_(offset + bytes),
        memory_(memory),
        writes_(writes),
        bounce_(bounce),
        at_(round_down(offset)),
        is_aligned_((reinterpret_cast<std::uintptr_t>(memory) - offset) % kSwapBlock == 0) {}

  bool writes() const override { return writes_; }

  bool next(BlockRequest& request) override {
    if (at_ >= end_) return false;
    request.offset = at_;
    request.bytes = std::min(file_.block_size_, round_up(end_) - at_);
    at_ += request.bytes;
    const bool whole = request.offset >= begin_ && request.offset + request.bytes <= end_;
    request.memory = whole && is_aligned_ ? memory_ + (request.offset - begin_) : bounce(request.slot);
    if (!writes_) return true;
    if (is_bounced(request)) copy_in(request);
    note_sums(request);
    return true;
  }

  void finished(const BlockRequest& request) override {
    if (writes_) return;
    check_sums(request);
    if (is_bounced(request)) copy_out(request);
  }

  [[noreturn]] void failed(const BlockRequest& request, int error) override {
    const std::string why = error == 0 ? "the file ends early: somebody made it shorter" : std::strerror(error);
    throw Error(ErrorKind::kIo, fmt::format("{}: {} of {} bytes at offset {}: {}", file_.describe_place(),
                                            writes_ ? "write" : "read", request.bytes, request.offset, why));
  }

 private:
  std::byte* bounce(int slot) {
    if (bounce_ == nullptr) bounce_ = map_memory(file_.depth_ * file_.block_size_);
    return bounce_ + slot * file_.block_size_;
  }
  bool is_bounced(const BlockRequest& request) const {
    return bounce_ != nullptr && request.memory == bounce_ + request.slot * file_.block_size_;
  }

  /// The bytes of ours that the request holds.
  struct Part {
    std::byte *in_request, *ours;
    std::size_t bytes;
  };
  Part part_of(const BlockRequest& request) const {
    const std::int64_t from = std::max(begin_, request.offset), to = std::min(end_, request.offset + request.bytes);
    return {request.memory + (from - request.offset), memory_ + (from - begin_), static_cast<std::size_t>(to - from)};
  }
  void copy_in(const BlockRequest& request) const {
    const Part part = part_of(request);
    std::memcpy(part.in_request, part.ours, part.bytes);
    std::memset(part.in_request + part.bytes, 0, static_cast<std::size_t>(request.bytes) - part.bytes);
  }
  void copy_out(const BlockRequest& request) const {
    const Part part = part_of(request);
    std::memcpy(part.ours, part.in_request, part.bytes);
  }

  std::uint32_t& sum_at(std::int64_t offset) { return file_.sums_[static_cast<std::size_t>(offset / kSwapBlock)]; }

  void note_sums(const BlockRequest& request) {
    for (std::int64_t at = 0; at < request.bytes; at += kSwapBlock) {
      sum_at(request.offset + at) = block_checksum(request.memory + at);
    }
  }

  void check_sums(const BlockRequest& request) {
    for (std::int64_t at = 0; at < request.bytes; at += kSwapBlock) {
      const std::uint32_t sum = sum_at(request.offset + at);
      if (sum == 0 || sum == block_checksum(request.memory + at)) continue;
      throw Error(
          ErrorKind::kIo,
          fmt::format("{}: read at offset {}: these {} bytes are not what was written there; the drive or another "
                      "program changed them",
                      file_.describe_place(), request.offset + at, kSwapBlock));
    }
  }

  NvmeFile& file_;
  std::int64_t begin_, end_;
  std::byte* memory_;
  bool writes_;
  std::byte*& bounce_;
  std::int64_t at_;
  bool is_aligned_;
};

// ---------------------------------------------------------------- the file

NvmeFile::NvmeFile(const NvmeFileOptions& options)
    : options_(options),
      size_(round_up(options.bytes)),
      block_size_(std::max(round_up(options.aio.block_size), kSwapBlock)),
      depth_(static_cast<int>(std::clamp<std::int64_t>(options.aio.queue_depth, 1, 4096))),
      sums_(static_cast<std::size_t>(size_ / kSwapBlock)) {
  open_file();
  try {
    reserve();
    check_direct();
    make_queues(reading_, options.use_uring);
    make_queues(writing_, options.use_uring);
  } catch (...) {
    ::close(file_);
    throw;
  }
}

NvmeFile::~NvmeFile() {
  for (Direction* direction : {&reading_, &writing_}) {
    direction->queues.clear();
    for (std::byte* bounce : direction->bounce) {
      if (bounce != nullptr) ::munmap(bounce, static_cast<std::size_t>(depth_ * block_size_));
    }
  }
  ::close(file_);
}

std::string NvmeFile::describe_place() const {
  return fmt::format("nvme_path {}: swap file of rank {}", options_.folder, options_.rank);
}

std::string NvmeFile::describe() const {
  return fmt::format("{}, {}{}", reading_.queues.front()->name(), direct_ ? "past" : "through", " the page cache");
}

/// Without a name from the start (O_TMPFILE) or, where the file system cannot do that, from just after it is made.
void NvmeFile::open_file() {
  const auto open_with = [&](int more) {
    const int unnamed = ::open(options_.folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | more, 0600);
    if (unnamed >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return unnamed;
    const std::string path = fmt::format("{}/shardscope-swap-{}-{}", options_.folder, ::getpid(), options_.rank);
    const int named = ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | more, 0600);
    if (named >= 0) ::unlink(path.c_str());
    return named;
  };
  file_ = open_with(O_DIRECT);
  if (file_ < 0 && errno == EINVAL) {
    direct_ = false;
    file_ = open_with(0);
  }
  if (file_ >= 0) return;
  throw Error(ErrorKind::kConfig,
              fmt::format("nvme_path {}: cannot make a swap file there: {}; it must be a folder that "
                          "may be written to",
                          options_.folder, std::strerror(errno)));
}

/// Takes the whole size at once: a drive that is too full is seen now, and not in the middle of a step.
void NvmeFile::reserve() {
  if (size_ == 0 || ::fallocate(file_, 0, 0, size_) == 0) return;
  const int error = errno;
  struct statvfs room {};
  const bool known = ::fstatvfs(file_, &room) == 0;
  const auto free_bytes = static_cast<std::int64_t>(room.f_bavail) * static_cast<std::int64_t>(room.f_frsize);
  if (error == EOPNOTSUPP && known && free_bytes >= size_ && ::ftruncate(file_, size_) == 0) return;
  throw Error(ErrorKind::kIo, fmt::format("{}: cannot take {} bytes: {}{}", describe_place(), size_,
                                          std::strerror(error == EOPNOTSUPP ? ENOSPC : error),
                                          known ? fmt::format("; {} bytes are free there", free_bytes) : ""));
}

/// Some file systems open a file with O_DIRECT, and then want larger blocks than ours or refuse every read.
void NvmeFile::check_direct() {
  if (!direct_ || size_ == 0) return;
  std::byte* const block = map_memory(kSwapBlock);
  const bool works = ::pread(file_, block, kSwapBlock, 0) == kSwapBlock;
  ::munmap(block, kSwapBlock);
  if (works) return;
  direct_ = false;
  ::fcntl(file_, F_SETFL, ::fcntl(file_, F_GETFL) & ~O_DIRECT);
}

void NvmeFile::make_queues(Direction& direction, bool uring) {
  const auto parts = static_cast<int>(std::clamp<std::int64_t>(options_.aio.intra_op_parallelism, 1, 256));
  const QueueOptions queue{depth_, options_.aio.single_submit, options_.aio.overlap_events};
  for (int i = 0; uring && i < parts; ++i) {
    std::unique_ptr<BlockQueue> made = make_uring_queue(file_, queue);
    if (made == nullptr) break;
    direction.queues.push_back(std::move(made));
  }
  if (direction.queues.empty()) {
    for (int i = 0; i < std::min(parts * depth_, kMostThreads); ++i) {
      direction.queues.push_back(make_plain_queue(file_));
    }
  }
  direction.bounce.resize(direction.queues.size());
}

void NvmeFile::register_memory(std::byte* base, std::int64_t bytes) {
  for (Direction* direction : {&reading_, &writing_}) {
    for (const auto& queue : direction->queues) queue->register_memory(base, bytes);
  }
}

/// The first queue works in this thread, the others each in one of their own, if there is a request for each.
void NvmeFile::run(Direction& direction, std::int64_t offset, std::byte* memory, std::int64_t bytes, bool writes) {
  SS_CHECK(offset >= 0 && bytes >= 0 && offset + bytes <= size_, offset, bytes, size_);
  if (bytes == 0) return;
  const std::int64_t requests = (bytes + block_size_ - 1) / block_size_;
  const auto queues = static_cast<std::int64_t>(direction.queues.size());
  const std::int64_t share = (requests + queues - 1) / queues * block_size_;
  const std::int64_t parts = (bytes + share - 1) / share;
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(parts));
  const auto run_part = [&](std::int64_t part) {
    const std::int64_t begin = part * share, end = std::min(begin + share, bytes);
    const auto i = static_cast<std::size_t>(part);
    try {
      Transfer transfer(*this, offset + begin, memory + begin, end - begin, writes, direction.bounce[i]);
      direction.queues[i]->run(transfer);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (std::int64_t part = 1; part < parts; ++part) others.emplace_back(run_part, part);
  run_part(0);
  for (std::thread& thread : others) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

void NvmeFile::read(std::int64_t offset, std::span<std::byte> to) {
  run(reading_, offset, to.data(), static_cast<std::int64_t>(to.size()), false);
}

void NvmeFile::write(std::int64_t offset, std::span<const std::byte> from) {
  SS_CHECK(offset % kSwapBlock == 0, offset);
  run(writing_, offset, const_cast<std::byte*>(from.data()), static_cast<std::int64_t>(from.size()), true);
}

void NvmeFile::patch(std::int64_t offset, std::span<const std::byte> from) {
  const auto bytes = static_cast<std::int64_t>(from.size());
  const std::int64_t begin = round_down(offset), end = round_up(offset + bytes);
  if (bytes == 0) return;
  if (begin == offset && end == offset + bytes) return write(offset, from);
  std::vector<std::byte> blocks(static_cast<std::size_t>(end - begin));
  run(writing_, begin, blocks.data(), kSwapBlock, false);
  run(writing_, end - kSwapBlock, blocks.data() + (end - kSwapBlock - begin), kSwapBlock, false);
  std::copy(from.begin(), from.end(), blocks.begin() + (offset - begin));
  write(begin, blocks);
}

}  // namespace shardscope
