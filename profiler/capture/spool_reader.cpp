#include "profiler/capture/spool_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "core/error.h"

namespace shardscope::capture {

namespace {

std::int64_t clock_ns() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorKind::kParse, path + ": " + why);
}

/// Largest spool that is believed: a terabyte.
constexpr std::uint32_t kMostChunks = 1 << 24;

}  // namespace

SpoolReader::SpoolReader(const std::string& path) : path_(path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) throw Error(ErrorKind::kIo, path + ": " + std::strerror(errno));
  struct stat status {};
  void* base = MAP_FAILED;
  if (fstat(file, &status) == 0 && static_cast<std::size_t>(status.st_size) >= spool_bytes(0)) {
    bytes_ = static_cast<std::size_t>(status.st_size);
    base = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  close(file);
  if (base == MAP_FAILED) refuse(path, "not a spool of a capture: too short");
  base_ = static_cast<char*>(base);
  header_ = reinterpret_cast<SpoolHeader*>(base_);
  const bool ours = header_->magic == kSpoolMagic;
  if (!ours || header_->version != kSpoolVersion || header_->chunk_bytes != kChunkBytes ||
      header_->string_bytes != kStringBytes || header_->chunks > kMostChunks || spool_bytes(header_->chunks) > bytes_) {
    munmap(base, bytes_);
    refuse(path, ours ? "a spool of another version or damaged" : "not a spool of a capture");
  }
  progress_.resize(header_->chunks);
}

SpoolReader::~SpoolReader() { munmap(base_, bytes_); }

bool SpoolReader::process_alive() const { return kill(header_->pid, 0) == 0 || errno == EPERM; }

ChunkHeader* SpoolReader::chunk(std::uint32_t index) const {
  return reinterpret_cast<ChunkHeader*>(base_ + chunk_offset(index));
}

std::vector<std::pair<std::uint64_t, std::uint32_t>> SpoolReader::ready_chunks() const {
  // Chunks taken after this wait for the next call: an earlier one of the same thread may have been passed over.
  const std::uint64_t newest = header_->next_order.load();
  std::vector<std::pair<std::uint64_t, std::uint32_t>> ready;
  for (std::uint32_t i = 0; i < progress_.size(); ++i) {
    const ChunkState state = chunk(i)->state.load(std::memory_order_acquire);
    const std::uint64_t order = chunk(i)->order.load();  // once: a ring's writer may take the chunk again meanwhile
    if ((state == ChunkState::kWriting || state == ChunkState::kFull) && order <= newest) ready.emplace_back(order, i);
  }
  std::sort(ready.begin(), ready.end());
  return ready;
}

std::int64_t SpoolReader::poll(const Visit& visit) {
  header_->reader_ns.store(static_cast<std::uint64_t>(clock_ns()), std::memory_order_relaxed);
  const auto ready = ready_chunks();
  read_strings();
  std::int64_t count = 0;
  for (const auto& [order, index] : ready) count += read_chunk(index, visit);
  return count;
}

std::int64_t SpoolReader::peek(const Visit& visit) {
  header_->reader_ns.store(static_cast<std::uint64_t>(clock_ns()), std::memory_order_relaxed);
  const auto ready = ready_chunks();
  read_strings();
  std::int64_t count = 0;
  for (const auto& [order, index] : ready) count += peek_chunk(index, order, visit);
  return count;
}

std::int64_t SpoolReader::read_records(const char* body, std::uint32_t used, std::uint32_t thread, Progress& progress,
                                       const Visit& visit) {
  std::int64_t count = 0;
  while (progress.read + sizeof(RecordHead) <= used) {
    const auto& head = *reinterpret_cast<const RecordHead*>(body + progress.read);
    const std::uint32_t bytes = head.bytes;
    if (bytes < sizeof(RecordHead) || bytes % 8 != 0 || progress.read + bytes > used) {
      ++damaged_;
      progress.read = used;  // what follows cannot be told apart
      break;
    }
    visit(thread, head);
    progress.read += bytes;
    ++count;
  }
  return count;
}

namespace {

std::uint32_t used_bytes(const ChunkHeader& chunk) {
  return std::min<std::uint32_t>(chunk.used.load(std::memory_order_acquire),
                                 kChunkBytes - static_cast<std::uint32_t>(sizeof(ChunkHeader)));
}

}  // namespace

std::int64_t SpoolReader::read_chunk(std::uint32_t index, const Visit& visit) {
  ChunkHeader* c = chunk(index);
  ChunkState full = ChunkState::kFull;
  const bool whole = c->state.compare_exchange_strong(full, ChunkState::kReading, std::memory_order_acq_rel);
  Progress& progress = progress_[index];
  if (progress.order != c->order) progress = {c->order, 0};
  const std::int64_t count =
      read_records(reinterpret_cast<const char*>(c + 1), used_bytes(*c), c->thread, progress, visit);
  if (whole) c->state.store(ChunkState::kFree, std::memory_order_release);
  return count;
}

std::int64_t SpoolReader::peek_chunk(std::uint32_t index, std::uint64_t order, const Visit& visit) {
  const ChunkHeader* c = chunk(index);
  if (peeked_.empty()) peeked_.resize(progress_.size());
  Progress& progress = peeked_[index];
  if (progress.order != order) progress = {order, 0};
  const std::uint32_t used = used_bytes(*c), thread = c->thread;
  if (progress.read >= used) return 0;
  // Copied, so that it can be seen afterwards whether it was still the same chunk.
  std::vector<std::uint64_t> copy((used - progress.read + 7) / 8);
  std::memcpy(copy.data(), reinterpret_cast<const char*>(c + 1) + progress.read, used - progress.read);
  std::atomic_thread_fence(std::memory_order_acquire);
  const ChunkState state = c->state.load(std::memory_order_acquire);
  if (c->order != order || (state != ChunkState::kWriting && state != ChunkState::kFull)) return 0;
  Progress within{order, 0};
  const std::int64_t count =
      read_records(reinterpret_cast<const char*>(copy.data()), used - progress.read, thread, within, visit);
  progress.read = used;
  return count;
}

void SpoolReader::read_strings() {
  const std::uint64_t end =
      std::min<std::uint64_t>(header_->strings_used.load(std::memory_order_acquire), kStringBytes);
  while (strings_read_ + sizeof(StringHeader) <= end) {
    const auto* string = reinterpret_cast<const StringHeader*>(base_ + kHeaderBytes + strings_read_);
    const std::uint32_t bytes = string->bytes_plus_one.load(std::memory_order_acquire);
    if (bytes == 0) return;  // being written
    const std::uint64_t size = sizeof(StringHeader) + ((bytes - 1 + 7) & ~std::uint64_t{7});
    if (strings_read_ + size > end) return;
    strings_.emplace(string->id, std::string(reinterpret_cast<const char*>(string + 1), bytes - 1));
    strings_read_ += size;
  }
}

std::string_view SpoolReader::text(std::uint64_t id) {
  if (id == 0) return {};
  auto found = strings_.find(id);
  if (found == strings_.end()) {
    read_strings();
    found = strings_.find(id);
  }
  return found == strings_.end() ? std::string_view("?") : std::string_view(found->second);
}

std::vector<std::string> list_spools(const std::string& folder) {
  std::vector<std::pair<std::filesystem::file_time_type, std::string>> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".spool") found.emplace_back(entry.last_write_time(ignored), entry.path().string());
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> paths;
  for (auto& [time, path] : found) paths.push_back(std::move(path));
  return paths;
}

}  // namespace shardscope::capture
