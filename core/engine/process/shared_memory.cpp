#include "core/engine/process/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorKind::kDevice, fmt::format("memory shared between ranks: {}: {}", what, std::strerror(errno)));
}

std::int64_t whole_pages(std::int64_t bytes) {
  const std::int64_t page = ::sysconf(_SC_PAGESIZE);
  return (bytes + page - 1) / page * page;
}

}  // namespace

/// At the start of the file. All zero is a table without entries.
struct SharedMemory::Table {
  struct Entry {
    std::uint64_t key;
    std::int64_t offset, bytes;
  };
  std::atomic<std::uint32_t> locked;
  std::uint32_t used;
  std::array<Entry, 4000> entries;
};

SharedRange::SharedRange(int fd, std::int64_t offset, std::int64_t bytes) : bytes_(bytes) {
  void* const data = ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
  if (data == MAP_FAILED) fail(fmt::format("cannot map {} bytes", bytes));
  data_ = static_cast<std::byte*>(data);
}

SharedRange::~SharedRange() {
  if (data_ != nullptr) ::munmap(data_, static_cast<std::size_t>(bytes_));
}

SharedMemory::SharedMemory(Fd fd)
    : fd_(std::move(fd)), head_(fd_.get(), 0, whole_pages(static_cast<std::int64_t>(sizeof(Table)))) {}

SharedMemory SharedMemory::create() {
  Fd fd(::memfd_create("shardscope", MFD_CLOEXEC));
  if (!fd) fail("cannot create it");
  if (::ftruncate(fd.get(), whole_pages(static_cast<std::int64_t>(sizeof(Table)))) != 0) fail("cannot size it");
  return SharedMemory(std::move(fd));
}

SharedMemory SharedMemory::open(pid_t pid, int fd) {
  const std::string path = fmt::format("/proc/{}/fd/{}", pid, fd);
  Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) fail("cannot open " + path);
  return SharedMemory(std::move(file));
}

SharedRange SharedMemory::range(std::uint64_t key, std::int64_t bytes, const std::function<void()>& check) {
  while (table().locked.exchange(1, std::memory_order_acquire) != 0) {
    check();
    std::this_thread::yield();
  }
  const std::int64_t offset = place_of(key, whole_pages(bytes));
  table().locked.store(0, std::memory_order_release);
  if (offset < 0) fail("cannot grow it");
  return {fd_.get(), offset, whole_pages(bytes)};
}

/// Under the lock; -1 if the file cannot grow.
std::int64_t SharedMemory::place_of(std::uint64_t key, std::int64_t bytes) {
  Table& t = table();
  std::int64_t end = head_.bytes();
  for (std::uint32_t i = 0; i < t.used; ++i) {
    const Table::Entry& entry = t.entries[i];
    if (entry.key == key) {
      SS_CHECK(entry.bytes == bytes, entry.bytes, bytes);
      return entry.offset;
    }
    end = entry.offset + entry.bytes;
  }
  if (t.used == t.entries.size() || ::ftruncate(fd_.get(), end + bytes) != 0) return -1;
  t.entries[t.used++] = {key, end, bytes};
  return end;
}

}  // namespace shardscope
