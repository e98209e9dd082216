#include "profiler/store/event_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <new>
#include <tuple>

#include "core/trace.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMagic = 0x315356454b524853;  // "SHRKEVS1", little-endian
constexpr std::size_t kBlocks = 512, kHeaderBytes = 4096, kFileBytes = kHeaderBytes + kBlocks * EventBlock::kBytes;
constexpr std::string_view kMark = "-events-";

/// To grow a file beyond the process's limit is a signal, and not an error.
bool may_be_so_large() {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= kFileBytes;
}

void* map(int file) {
  void* base = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return base != MAP_FAILED ? base : nullptr;
}

bool is_removed(int file) {
  struct stat status {};
  return fstat(file, &status) != 0 || status.st_nlink == 0;
}

}  // namespace

/// The sizes tell a file of another build, whose events look different.
struct EventFile::Header {
  std::uint64_t magic;
  std::uint32_t slice_bytes, memory_bytes, step_bytes, reserved;
  char run_key[128];

  bool is_ours() const {
    return magic == kMagic && slice_bytes == sizeof(SliceEvent) && memory_bytes == sizeof(MemoryEvent) &&
           step_bytes == sizeof(StepEvent) && std::memchr(run_key, 0, sizeof run_key) != nullptr;
  }
};

EventFile::EventFile(std::string path, int file, void* base, bool keep)
    : path_(std::move(path)), file_(file), base_(static_cast<char*>(base)), keep_(keep) {}

EventFile::~EventFile() {
  if (!keep_) unlink(path_.c_str());
  munmap(base_, kFileBytes);
  close(file_);  // and with it the lock
}

std::unique_ptr<EventFile> EventFile::create(const std::string& profile, const std::string& run_key) {
  std::string path = profile + std::string(kMark) + run_key;
  if (run_key.size() >= sizeof Header::run_key || !may_be_so_large()) return nullptr;
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return nullptr;
  void* base = nullptr;
  // Whoever opens the profile may have taken it for an abandoned one before it was locked.
  const bool locked = flock(file, LOCK_EX) == 0 && !is_removed(file);
  if (locked && posix_fallocate(file, 0, static_cast<off_t>(kFileBytes)) == 0) base = map(file);
  if (base == nullptr) {
    unlink(path.c_str());
    close(file);
    return nullptr;
  }
  auto* header = new (base) Header{0, sizeof(SliceEvent), sizeof(MemoryEvent), sizeof(StepEvent), 0, {}};
  std::memcpy(header->run_key, run_key.data(), run_key.size());
  header->magic = kMagic;
  return std::unique_ptr<EventFile>(new EventFile(std::move(path), file, base, /*keep=*/false));
}

std::unique_ptr<EventFile> EventFile::open_abandoned(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return nullptr;
  struct stat status {};
  void* base = nullptr;
  const bool whole = fstat(file, &status) == 0 && static_cast<std::size_t>(status.st_size) == kFileBytes;
  if (flock(file, LOCK_EX | LOCK_NB) == 0 && whole) base = map(file);
  if (base == nullptr || is_removed(file) || !static_cast<Header*>(base)->is_ours()) {
    if (base != nullptr) munmap(base, kFileBytes);
    close(file);
    return nullptr;
  }
  return std::unique_ptr<EventFile>(new EventFile(path, file, base, /*keep=*/true));
}

std::vector<std::string> EventFile::beside(const std::string& profile) {
  const fs::path whole(profile), folder = whole.has_parent_path() ? whole.parent_path() : fs::path(".");
  const std::string prefix = whole.filename().string() + std::string(kMark);
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().starts_with(prefix)) found.push_back(it->path().string());
  }
  return found;
}

EventBlock* EventFile::block(std::size_t index) const {
  return reinterpret_cast<EventBlock*>(base_ + kHeaderBytes + index * EventBlock::kBytes);
}

EventBlock* EventFile::take(const EventSource& source) {
  for (std::size_t i = 0; i < kBlocks; ++i) {  // the first free one: its pages are the warmest
    EventBlock* taken = block(i);
    EventBlock::State free = EventBlock::State::kFree;
    if (!taken->state.compare_exchange_strong(free, EventBlock::State::kTaken)) continue;
    taken->published.store(0, std::memory_order_relaxed);
    taken->source = source;
    taken->state.store(EventBlock::State::kUsed, std::memory_order_release);
    return taken;
  }
  return nullptr;
}

std::vector<EventBlock*> EventFile::used() const {
  std::vector<EventBlock*> blocks;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    if (block(i)->state.load(std::memory_order_acquire) == EventBlock::State::kUsed) blocks.push_back(block(i));
  }
  const auto order = [](const EventBlock* b) {
    return std::tuple(b->source.rank, b->source.kind, b->source.lane, b->source.first);
  };
  std::sort(blocks.begin(), blocks.end(), [&](auto* a, auto* b) { return order(a) < order(b); });
  return blocks;
}

std::string EventFile::run_key() const { return reinterpret_cast<const Header*>(base_)->run_key; }

}  // namespace shardscope
