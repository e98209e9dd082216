#pragma once
// The bytes that one operation read and wrote, as bit sets per page: what the check of order between operations
// compares.
//
//   AccessSet set;
//   set.touch(address, 16, /*write=*/true);

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "tests/cudasim/core/types.h"

namespace cudasim {

class AccessSet {
 public:
  static constexpr u64 kPageBytes = 4096;
  struct Page {
    u64 read[kPageBytes / 64] = {};
    u64 write[kPageBytes / 64] = {};
  };

  void touch(u64 address, u64 bytes, bool write) {
    while (bytes > 0) {
      const u64 offset = address % kPageBytes;
      const u64 part = std::min(bytes, kPageBytes - offset);
      Page& page = at(address / kPageBytes);
      mark(write ? page.write : page.read, offset, part);
      address += part;
      bytes -= part;
    }
  }
  const std::unordered_map<u64, std::unique_ptr<Page>>& pages() const { return pages_; }
  bool empty() const { return pages_.empty(); }

 private:
  /// Kernels walk over a few arrays at once: their last pages are found without hashing.
  Page& at(u64 number) {
    Recent& recent = recent_[number % kRecent];
    if (recent.page == nullptr || recent.number != number) {
      std::unique_ptr<Page>& page = pages_[number];
      if (!page) page = std::make_unique<Page>();
      recent = {number, page.get()};
    }
    return *recent.page;
  }
  static void mark(u64* words, u64 from, u64 count) {
    for (u64 at = from; at < from + count;) {
      const u64 shift = at % 64;
      const u64 bits = std::min<u64>(64 - shift, from + count - at);
      words[at / 64] |= (bits == 64 ? ~0ull : (1ull << bits) - 1) << shift;
      at += bits;
    }
  }

  struct Recent {
    u64 number = 0;
    Page* page = nullptr;
  };
  static constexpr u64 kRecent = 64;
  std::unordered_map<u64, std::unique_ptr<Page>> pages_;
  Recent recent_[kRecent];
};

}  // namespace cudasim
