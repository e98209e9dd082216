#include "kernels/cpu/host_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::size_t kPage = 4096, kHugePage = 2 << 20;

std::size_t mapped_bytes(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes);
  const std::size_t page = size >= kHugePage ? kHugePage : kPage;
  return size == 0 ? kPage : (size + page - 1) / page * page;
}

}  // namespace

std::byte* map_memory(std::int64_t bytes) {
  SS_CHECK(bytes >= 0, bytes);
  const std::size_t size = mapped_bytes(bytes);
  const std::size_t slack = size >= kHugePage ? kHugePage : 0;  // to align; what is left over is given back
  void* mapped =
      mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    throw Error(ErrorKind::kDevice,
                "cannot reserve " + std::to_string(bytes) + " bytes of memory: " + std::strerror(errno));
  }
  auto* data = static_cast<std::byte*>(mapped);
  if (slack == 0) return data;
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(data) % kHugePage) % kHugePage;
  if (before > 0) munmap(data, before);
  if (slack > before) munmap(data + before + size, slack - before);
  madvise(data + before, size, MADV_HUGEPAGE);  // a wish: without huge pages it is only slower
  return data + before;
}

void unmap_memory(std::byte* data, std::int64_t bytes) {
  if (data != nullptr) munmap(data, mapped_bytes(bytes));
}

}  // namespace shardscope
