#include "profiler/capture/inject/spool_writer.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>

namespace shardscope::capture {

namespace {

std::atomic<Spool*> the_spool{nullptr};
std::atomic<std::uint32_t> generation{1};  ///< goes up with every fork(): chunks of the parent are not the child's
std::atomic<int> opening{0};               ///< 0: nobody tried, 1: under way, 2: done, with or without success

std::int32_t variable(const char* const* names) {
  for (; *names != nullptr; ++names) {
    if (const char* text = std::getenv(*names); text != nullptr && *text != '\0') return std::atoi(text);
  }
  return -1;
}

/// Launchers' names for the same three numbers: torchrun and DeepSpeed, Open MPI, Slurm, MPICH.
void fill_ranks(SpoolHeader& header) {
  static const char* const rank[] = {"RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "PMI_RANK", nullptr};
  static const char* const world[] = {"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS", "PMI_SIZE", nullptr};
  static const char* const local[] = {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "MPI_LOCALRANKID",
                                      nullptr};
  header.rank = variable(rank);
  header.world = variable(world);
  header.local_rank = variable(local);
}

void fill_program(SpoolHeader& header) {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = '\0';
  const char* name = std::strrchr(path, '/');
  std::snprintf(header.program, sizeof header.program, "%.127s", name != nullptr ? name + 1 : path);
}

/// In the child, what the parent had is left alone; a spool of its own is made when first needed.
void after_fork() {
  generation.fetch_add(1);
  the_spool.store(nullptr);
  opening.store(0);
}

std::uint32_t thread_id() { return static_cast<std::uint32_t>(syscall(SYS_gettid)); }

}  // namespace

/// What a thread writes into. Its chunk is given up when the thread ends.
struct ThreadChunk {
  ChunkHeader* chunk = nullptr;
  Spool* spool = nullptr;
  std::uint32_t used = 0, generation = 0, thread = 0;
  bool ended = false;

  ~ThreadChunk() {
    if (chunk != nullptr && generation == capture::generation.load())
      chunk->state.store(ChunkState::kFull, std::memory_order_release);
    chunk = nullptr;
    ended = true;
  }
};

namespace {
thread_local ThreadChunk local;
}  // namespace

std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

SpoolOptions spool_options() {
  SpoolOptions options;
  options.folder = std::getenv("SHARDSCOPE_SPOOL");
  if (options.folder != nullptr && *options.folder == '\0') options.folder = nullptr;
  if (const char* mb = std::getenv("SHARDSCOPE_SPOOL_MB"); mb != nullptr && std::atoi(mb) > 0)
    options.chunks = static_cast<std::uint32_t>(std::atoi(mb)) * 16;
  if (const char* what = std::getenv("SHARDSCOPE_SOURCES"); what != nullptr)
    options.enabled = static_cast<std::uint32_t>(std::strtoul(what, nullptr, 0));
  const char* ring = std::getenv("SHARDSCOPE_RING");
  options.ring = ring != nullptr && *ring == '1';
  const char* watch = std::getenv("SHARDSCOPE_WATCH_STEPS");
  options.watch_steps = watch != nullptr && *watch == '1';
  if (const char* steps = std::getenv("SHARDSCOPE_STEPS"); steps != nullptr) {
    char* end = nullptr;
    options.first_step = std::strtoll(steps, &end, 10);
    options.last_step = *end == '-' ? std::strtoll(end + 1, nullptr, 10) : options.first_step;
    options.watch_steps = true;
  }
  return options;
}

Spool* Spool::get() {
  if (Spool* spool = the_spool.load(std::memory_order_acquire); spool != nullptr) return spool;
  int state = 0;
  if (!opening.compare_exchange_strong(state, 1)) {
    while (opening.load() == 1) sched_yield();  // another thread is at it, once in the process's life
    return the_spool.load(std::memory_order_acquire);
  }
  Spool* spool = open();
  the_spool.store(spool, std::memory_order_release);
  opening.store(2);
  return spool;
}

Spool* Spool::open() {
  static const int registered = pthread_atfork(nullptr, nullptr, after_fork);
  (void)registered;
  const SpoolOptions options = spool_options();
  if (options.folder == nullptr) return nullptr;
  const std::int64_t now = now_ns();
  char path[PATH_MAX], part[PATH_MAX];
  std::snprintf(path, sizeof path, "%s/%d-%lld.spool", options.folder, static_cast<int>(getpid()),
                static_cast<long long>(now));
  if (std::snprintf(part, sizeof part, "%s.part", path) >= static_cast<int>(sizeof part)) return nullptr;
  const int file = ::open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return nullptr;
  const std::size_t bytes = spool_bytes(options.chunks);
  // Reserved now: later, a write to a page without room behind it would be a SIGBUS in the job.
  void* base = MAP_FAILED;
  if (posix_fallocate(file, 0, static_cast<off_t>(bytes)) == 0)
    base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  Spool* spool = base != MAP_FAILED ? new (std::nothrow) Spool : nullptr;
  if (spool == nullptr) {
    unlink(part);
    return nullptr;
  }
  spool->base_ = static_cast<char*>(base);
  spool->header_ = new (base) SpoolHeader{};
  spool->generation_ = generation.load();
  SpoolHeader& header = *spool->header_;
  header.version = kSpoolVersion;
  header.chunks = options.chunks;
  header.chunk_bytes = kChunkBytes;
  header.string_bytes = kStringBytes;
  header.pid = getpid();
  header.parent = getppid();
  header.ring = options.ring ? 1 : 0;
  header.started_ns = now;
  header.wanted.store(options.enabled);
  header.enabled.store(options.last_step >= 0 ? 0 : options.enabled);
  header.watch_steps.store(options.watch_steps ? 1 : 0);
  header.first_step.store(options.first_step);
  header.last_step.store(options.last_step);
  header.step.store(-1);
  fill_ranks(header);
  fill_program(header);
  std::atomic_thread_fence(std::memory_order_release);
  header.magic = kSpoolMagic;
  rename(part, path);  // a reader sees only whole headers
  return spool;
}

void Spool::say_goodbye() {
  if (Spool* spool = the_spool.load()) spool->header_->ended.fetch_or(kSaidGoodbye);
}

ChunkHeader* Spool::chunk(std::uint32_t index) const {
  return reinterpret_cast<ChunkHeader*>(base_ + chunk_offset(index));
}

ChunkHeader* Spool::take_chunk(std::uint32_t thread) {
  const std::uint32_t chunks = header_->chunks;
  const std::uint32_t start = search_from_.load(std::memory_order_relaxed);
  ChunkHeader* taken = nullptr;
  for (std::uint32_t i = 0; i < chunks && taken == nullptr; ++i) {
    const std::uint32_t index = (start + i) % chunks;
    ChunkState free = ChunkState::kFree;
    if (!chunk(index)->state.compare_exchange_strong(free, ChunkState::kTaken)) continue;
    taken = chunk(index);
    search_from_.store(index + 1, std::memory_order_relaxed);
  }
  while (taken == nullptr && header_->ring != 0) {
    ChunkHeader* oldest = nullptr;
    for (std::uint32_t i = 0; i < chunks; ++i) {
      ChunkHeader* c = chunk(i);
      if (c->state.load() == ChunkState::kFull && (oldest == nullptr || c->order < oldest->order)) oldest = c;
    }
    if (oldest == nullptr) break;
    ChunkState full = ChunkState::kFull;
    if (!oldest->state.compare_exchange_strong(full, ChunkState::kTaken)) continue;
    header_->overwritten.fetch_add(1, std::memory_order_relaxed);
    taken = oldest;
  }
  if (taken == nullptr) return nullptr;
  taken->used.store(0, std::memory_order_relaxed);
  taken->thread = thread;
  taken->order = header_->next_order.fetch_add(1) + 1;
  taken->state.store(ChunkState::kWriting, std::memory_order_release);
  return taken;
}

void* Spool::reserve(std::size_t bytes) {
  ThreadChunk& mine = local;
  if (mine.ended) {  // a destructor of the thread that runs after ours
    header_->lost_records.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  if (mine.generation != generation_ || mine.spool != this) {
    mine.chunk = nullptr;
    mine.generation = generation_;
    mine.spool = this;
    mine.thread = thread_id();
  }
  if (mine.chunk == nullptr || sizeof(ChunkHeader) + mine.used + bytes > kChunkBytes) {
    if (mine.chunk != nullptr) mine.chunk->state.store(ChunkState::kFull, std::memory_order_release);
    mine.chunk = bytes + sizeof(ChunkHeader) <= kChunkBytes ? take_chunk(mine.thread) : nullptr;
    mine.used = 0;
    if (mine.chunk == nullptr) {
      header_->lost_records.fetch_add(1, std::memory_order_relaxed);
      return nullptr;
    }
  }
  return reinterpret_cast<char*>(mine.chunk + 1) + mine.used;
}

void Spool::publish(std::size_t bytes) {
  local.used += static_cast<std::uint32_t>(bytes);
  local.chunk->used.store(local.used, std::memory_order_release);
}

std::uint64_t Spool::intern(std::string_view text) {
  if (text.size() > 4095) text = text.substr(0, 4095);
  const std::uint64_t id = string_id(text.data(), text.size());
  for (std::uint32_t i = 0; i < 8; ++i) {
    std::atomic<std::uint64_t>& slot = seen_[(id + i) % kSeen];
    const std::uint64_t has = slot.load(std::memory_order_relaxed);
    if (has == id) return id;
    if (has != 0) continue;
    if (store_string(id, text)) slot.store(id, std::memory_order_relaxed);  // twice, if two threads race: no harm
    return id;
  }
  store_string(id, text);  // a crowded table: written again each time, until the area is full
  return id;
}

bool Spool::store_string(std::uint64_t id, std::string_view text) {
  const std::uint64_t bytes = sizeof(StringHeader) + ((text.size() + 7) & ~std::size_t{7});
  const std::uint64_t at = header_->strings_used.fetch_add(bytes, std::memory_order_relaxed);
  if (at + bytes > kStringBytes) {  // stays over the end: what comes later finds no room either
    header_->lost_strings.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  auto* string = reinterpret_cast<StringHeader*>(base_ + kHeaderBytes + at);
  string->id = id;
  std::memcpy(reinterpret_cast<char*>(string + 1), text.data(), text.size());
  string->bytes_plus_one.store(static_cast<std::uint32_t>(text.size()) + 1, std::memory_order_release);
  return true;
}

}  // namespace shardscope::capture
