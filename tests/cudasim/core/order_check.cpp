#include "tests/cudasim/core/order_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace cudasim {

void OrderCheck::finished(const OperationPtr& operation, const std::vector<Stream*>& streams, const Clock& host) {
  if (operation->accesses.empty()) return;
  for (const OperationPtr& earlier : history_) {
    if (!earlier->before(*operation) && !operation->before(*earlier)) compare(*earlier, *operation);
  }
  history_.push_back(operation);
  if (++since_forgetting_ % 16 == 0 || history_.size() > kMostKept) forget_ordered(streams, host);
}

void OrderCheck::compare(const Operation& earlier, const Operation& later) {
  const bool few = earlier.accesses.pages().size() < later.accesses.pages().size();
  const auto& less = few ? earlier.accesses.pages() : later.accesses.pages();
  const auto& more = few ? later.accesses.pages() : earlier.accesses.pages();
  for (const auto& [number, page] : less) {
    const auto found = more.find(number);
    if (found == more.end()) continue;
    for (u64 word = 0; word < AccessSet::kPageBytes / 64; ++word) {
      const AccessSet::Page& other = *found->second;
      const u64 both = page->write[word] & other.write[word];
      const u64 one = (page->read[word] & other.write[word]) | (page->write[word] & other.read[word]);
      if ((both | one) == 0) continue;
      const u64 address = number * AccessSet::kPageBytes + word * 64 + static_cast<u64>(std::countr_zero(both | one));
      const Allocation* at = memory_.find(address);
      reports_.add(fmt::format(
          "stream race ({}): '{}' on stream {} and '{}' on stream {} touch byte {} of allocation #{} with "
          "no event, wait or stream order between them",
          both != 0 ? "write/write" : "read/write", readable(earlier.name), earlier.stream->id, readable(later.name),
          later.stream->id, at != nullptr ? address - at->base : address, at != nullptr ? at->id : 0));
      return;
    }
  }
}

void OrderCheck::forget_ordered(const std::vector<Stream*>& streams, const Clock& host) {
  std::erase_if(history_, [&](const OperationPtr& kept) {
    // Nothing under way is unordered with it, nor will be what comes.
    return std::all_of(streams.begin(), streams.end(), [&](const Stream* stream) {
      if (kept->before(host) && (stream->last == nullptr || stream->last->done)) return true;
      return stream->queue.empty() ? stream->last != nullptr && kept->before(*stream->last)
                                   : kept->before(*stream->queue.front());
    });
  });
  while (history_.size() > kMostKept) history_.pop_front();
}

}  // namespace cudasim
