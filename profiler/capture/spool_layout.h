#pragma once
// The spool: one file per watched process, mapped into it, that receives what our handlers see; another process reads
// it. A record is in the file's pages once it is written, so killing the process loses nothing that was recorded.
//
//   header | strings | chunk 0 | chunk 1 | ...
//
// A thread takes a free chunk, fills it with records and takes the next. The reader gives full chunks back. No locks,
// no system calls, no allocation in the watched process. All space is reserved when the file is made: a disk that fills
// up later can neither stop nor kill the process.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace shardscope::capture {

inline constexpr std::uint64_t kSpoolMagic = 0x314c4f4f50535353;  ///< "SSSPOOL1", little-endian
inline constexpr std::uint32_t kSpoolVersion = 2;
inline constexpr std::uint32_t kChunkBytes = 64 << 10, kStringBytes = 4 << 20;
inline constexpr std::uint32_t kHeaderBytes = 4096;

/// What can be switched on and off while the process runs: SpoolHeader::enabled.
enum Source : std::uint32_t {
  kSourceNvtx = 1,
  kSourceNccl = 2,
  kSourceNcclProxy = 4,      ///< proxy operations, and time on the device by channel: costly
  kSourceKernels = 8,        ///< kernels, copies, memsets
  kSourceApi = 16,           ///< calls of the CUDA runtime and driver
  kSourceMemory = 32,        ///< allocations on the device
  kSourceGraphNodes = 64,    ///< kernels inside of CUDA graphs one by one, instead of one record a launch
  kSourceSync = 128,         ///< waits of the host for the device
  kSourceEnvironment = 256,  ///< clocks, power and temperature of devices
  kSourceAll = 511
};

enum class ChunkState : std::uint32_t {
  kFree,
  kTaken,    ///< by a writer that has not filled in the header yet
  kWriting,  ///< `used` bytes can be read already
  kFull,
  kReading
};

struct ChunkHeader {
  std::atomic<ChunkState> state;
  std::uint32_t thread;              ///< system id of the thread that writes it
  std::atomic<std::uint64_t> order;  ///< counts up over all chunks taken: the age of what is in it
  std::atomic<std::uint32_t> used;   ///< bytes of records that are complete
  std::uint32_t reserved;
};

enum EndBits : std::uint32_t {
  kSaidGoodbye = 1,  ///< the process ended in order
  kRecovered = 2     ///< a reader that came later has brought everything into the log
};

struct SpoolHeader {
  std::uint64_t magic;
  std::uint32_t version, chunks;
  std::uint32_t chunk_bytes, string_bytes;
  std::int32_t pid, parent;
  std::int32_t rank, world, local_rank;  ///< as the launcher's variables say; -1: they do not
  std::uint32_t ring;                  ///< 1: with no free chunk, the oldest full one is written over (flight recorder)
  std::int64_t started_ns;             ///< CLOCK_REALTIME
  char program[128];                   ///< name of the executable, without its folder
  std::atomic<std::uint32_t> enabled;  ///< Source bits; the reader may change them
  std::atomic<std::uint32_t> ended;    ///< EndBits
  std::atomic<std::uint64_t> next_order, strings_used;
  std::atomic<std::uint64_t> lost_records;     ///< no free chunk
  std::atomic<std::uint64_t> lost_strings;     ///< the string area is full
  std::atomic<std::uint64_t> lost_activities;  ///< dropped by CUPTI before we saw them
  std::atomic<std::uint64_t> overwritten;      ///< chunks, in a ring
  std::atomic<std::uint64_t> reader_ns;        ///< when a reader last looked; 0: never
  // Steps of the process (inject/step_tracker.h).
  std::atomic<std::uint32_t> watch_steps;           ///< 1: they are looked for, each ends with a StepRecord
  std::atomic<std::uint32_t> wanted;                ///< Source bits that are on within the chosen steps
  std::atomic<std::int64_t> first_step, last_step;  ///< the chosen ones; with none, -1: `enabled` is the reader's alone
  std::atomic<std::int64_t> step;                   ///< under way or the last one; -1: none was seen
};
static_assert(sizeof(SpoolHeader) <= kHeaderBytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

/// A string, in the string area: its text follows, padded to 8 bytes. Complete once `bytes` is not 0.
struct StringHeader {
  std::uint64_t id;  ///< string_id() of the text
  std::atomic<std::uint32_t> bytes_plus_one;
  std::uint32_t reserved;
};

constexpr std::size_t spool_bytes(std::uint32_t chunks) {
  return std::size_t{kHeaderBytes} + kStringBytes + std::size_t{chunks} * kChunkBytes;
}
constexpr std::size_t chunk_offset(std::uint32_t chunk) { return spool_bytes(chunk); }

/// Names a text by its content, the same in every process. Never 0.
std::uint64_t string_id(const char* text, std::size_t bytes);

}  // namespace shardscope::capture
