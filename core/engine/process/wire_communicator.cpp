#include "core/engine/process/wire_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/engine/reduce.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::int64_t kSmallBytes = 4096;    // up to here everybody sums everything: one round instead of two
constexpr std::int64_t kChunkAlign = 64 / 4;  // elements; chunks start on cache lines

std::size_t to_index(int number) { return static_cast<std::size_t>(number); }

ConstBytes bytes_at(const std::byte* data, std::int64_t first, std::int64_t size) {
  return size == 0 ? ConstBytes() : ConstBytes(data + first, static_cast<std::size_t>(size));
}

void copy(std::byte* to, ConstBytes from) {
  if (!from.empty() && to != from.data()) std::memcpy(to, from.data(), from.size());
}

}  // namespace

const char* to_string(Call call) {
  constexpr const char* kNames[] = {"all_reduce", "reduce_scatter", "all_gather", "broadcast",
                                    "all_to_all", "ring_shift",     "send"};
  const auto index = static_cast<std::size_t>(call);
  return index < std::size(kNames) ? kNames[index] : "something unknown";
}

void check_same(const WireEnds& ends, const CallHead& ours, const CallHead& theirs, int peer) {
  const int we = ends.ranks[to_index(ends.self)], they = ends.ranks[to_index(peer)];
  if (theirs.call != ours.call) {
    throw Error(ErrorKind::kDevice, fmt::format("{}: rank {} is in {} while rank {} is in {}", ends.name, we,
                                                to_string(ours.call), they, to_string(theirs.call)));
  }
  if (theirs.bytes != ours.bytes) {
    throw Error(ErrorKind::kDevice, fmt::format("{} {}: rank {} gives {} bytes where rank {} expects {}", ends.name,
                                                to_string(ours.call), they, theirs.bytes, we, ours.bytes));
  }
}

WireCommunicator::WireCommunicator(WireEnds ends, std::unique_ptr<Wire> wire)
    : ends_(std::move(ends)), wire_(std::move(wire)) {
  SS_CHECK(ends_.self >= 0 && ends_.self < size(), ends_.self, size());
}

void WireCommunicator::start(Call call, std::int64_t bytes) {
  head_ = {call, bytes};
  first_round_ = true;
  last_wait_ns_ = 0;
  parts_.clear();
}

/// One round of the call under way, with parts_. Only its first one waits for ranks that are late.
void WireCommunicator::round(ConstBytes common) {
  const std::int64_t waited_ns = wire_->round(head_, parts_, common);
  if (first_round_) last_wait_ns_ = waited_ns;
  first_round_ = false;
  for (int r = 0; r < size(); ++r) {
    if (r != rank()) check_same(ends_, head_, wire_->given(r).head, r);
  }
}

/// Elements of a piece of which a rank gives `shares` times as many in a round.
std::int64_t WireCommunicator::piece_elements(std::int64_t shares, DType dtype) const {
  const std::int64_t most = wire_->round_bytes() / (shares * size_of(dtype));
  return std::max(most / kChunkAlign * kChunkAlign, kChunkAlign);
}

WireCommunicator::Range WireCommunicator::chunk_of(Range piece, int rank) const {
  const std::int64_t each = (piece.count + size() - 1) / size();
  const std::int64_t chunk = (each + kChunkAlign - 1) / kChunkAlign * kChunkAlign;
  const std::int64_t first = std::min(piece.count, rank * chunk);
  return {piece.first + first, std::min(chunk, piece.count - first)};
}

/// out = what all gave as their parts (ours: `own`), summed in rank order.
void WireCommunicator::sum_given(const std::byte* own, std::byte* out, std::int64_t count, DType dtype, ReduceOp op) {
  if (count == 0) return;
  inputs_.clear();
  for (int r = 0; r < size(); ++r) inputs_.push_back(r == rank() ? own : wire_->given(r).part.data());
  reduce_in_order(inputs_, std::span(&out, 1), count, dtype, op);
}

void WireCommunicator::give_chunks(const std::byte* data, Range piece, std::int64_t element) {
  parts_.clear();
  for (int r = 0; r < size() && piece.count > 0; ++r) {
    const Range chunk = chunk_of(piece, r);
    parts_.push_back(bytes_at(data, chunk.first * element, chunk.count * element));
  }
}

/// A round gives away the terms of one piece and, with them, the sums of the piece before: one meeting a piece.
void WireCommunicator::all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) {
  const std::int64_t element = size_of(dtype);
  auto* const bytes = static_cast<std::byte*>(data);
  start(Call::kAllReduce, count * element);
  if (size() == 1 || count == 0) return;
  if (count * element <= kSmallBytes) return all_reduce_small(bytes, count, dtype, op);
  const std::int64_t most = piece_elements(size(), dtype) * size();
  Range last;
  for (Range piece{0, std::min(most, count)}; piece.count > 0 || last.count > 0;) {
    give_chunks(bytes, piece, element);
    const Range summed = chunk_of(last, rank());
    round(bytes_at(bytes, summed.first * element, summed.count * element));
    for (int r = 0; r < size(); ++r) {
      if (r != rank()) copy(bytes + chunk_of(last, r).first * element, wire_->given(r).common);
    }
    const Range mine = chunk_of(piece, rank());
    sum_given(bytes + mine.first * element, bytes + mine.first * element, mine.count, dtype, op);
    last = piece;
    piece.first += piece.count;
    piece.count = std::min(most, count - piece.first);
  }
}

void WireCommunicator::all_reduce_small(std::byte* data, std::int64_t count, DType dtype, ReduceOp op) {
  round(bytes_at(data, 0, count * size_of(dtype)));
  inputs_.clear();
  for (int r = 0; r < size(); ++r) inputs_.push_back(r == rank() ? data : wire_->given(r).common.data());
  reduce_in_order(inputs_, std::span(&data, 1), count, dtype, op);
}

/// Every rank gives slice r of its `in` (count elements each) to rank r, in pieces; take(first, n) is called when
/// elements [first, first + n) of ours have come.
template <class Take>
void WireCommunicator::exchange_slices(const std::byte* in, std::int64_t count, DType dtype, const Take& take) {
  const std::int64_t element = size_of(dtype), most = piece_elements(size(), dtype);
  for (std::int64_t first = 0; first < count; first += most) {
    const std::int64_t n = std::min(most, count - first);
    parts_.clear();
    for (int r = 0; r < size(); ++r) parts_.push_back(bytes_at(in, (r * count + first) * element, n * element));
    round({});
    take(first, n);
  }
}

void WireCommunicator::reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) {
  const std::int64_t element = size_of(dtype);
  const auto* const from = static_cast<const std::byte*>(in);
  start(Call::kReduceScatter, count * element);
  exchange_slices(from, count, dtype, [&](std::int64_t first, std::int64_t n) {
    const std::byte* const own = from + (rank() * count + first) * element;
    sum_given(own, static_cast<std::byte*>(out) + first * element, n, dtype, ReduceOp::kSum);
  });
}

void WireCommunicator::all_to_all(const void* in, void* out, std::int64_t count, DType dtype) {
  const std::int64_t element = size_of(dtype);
  const auto* const from = static_cast<const std::byte*>(in);
  auto* const to = static_cast<std::byte*>(out);
  start(Call::kAllToAll, count * element);
  exchange_slices(from, count, dtype, [&](std::int64_t first, std::int64_t n) {
    for (int r = 0; r < size(); ++r) {
      const std::int64_t at = (r * count + first) * element;
      copy(to + at, r == rank() ? bytes_at(from, at, n * element) : wire_->given(r).part);
    }
  });
}

void WireCommunicator::all_gather(const void* in, void* out, std::int64_t count, DType dtype) {
  const std::int64_t bytes = count * size_of(dtype), most = wire_->round_bytes();
  const auto* const from = static_cast<const std::byte*>(in);
  auto* const to = static_cast<std::byte*>(out);
  start(Call::kAllGather, bytes);
  for (std::int64_t first = 0; first < bytes; first += most) {
    round(bytes_at(from, first, std::min(most, bytes - first)));
    for (int r = 0; r < size(); ++r) {
      if (r != rank()) copy(to + r * bytes + first, wire_->given(r).common);
    }
  }
  copy(to + rank() * bytes, bytes_at(from, 0, bytes));
}

void WireCommunicator::broadcast(void* data, std::int64_t count, DType dtype, int root) {
  SS_CHECK(root >= 0 && root < size(), root, size());
  const std::int64_t bytes = count * size_of(dtype), most = wire_->round_bytes();
  auto* const to = static_cast<std::byte*>(data);
  start(Call::kBroadcast, bytes);
  for (std::int64_t first = 0; first < bytes; first += most) {
    round(rank() == root ? bytes_at(to, first, std::min(most, bytes - first)) : ConstBytes());
    if (rank() != root) copy(to + first, wire_->given(root).common);
  }
}

/// Everybody's own to the next one only.
void WireCommunicator::ring_shift(const void* in, void* out, std::int64_t count, DType dtype) {
  const std::int64_t bytes = count * size_of(dtype), most = wire_->round_bytes();
  const int next = (rank() + 1) % size(), previous = (rank() + size() - 1) % size();
  const auto* const from = static_cast<const std::byte*>(in);
  auto* const to = static_cast<std::byte*>(out);
  start(Call::kRingShift, bytes);
  if (size() == 1) return copy(to, bytes_at(from, 0, bytes));
  for (std::int64_t first = 0; first < bytes; first += most) {
    parts_.assign(to_index(size()), ConstBytes());
    parts_[to_index(next)] = bytes_at(from, first, std::min(most, bytes - first));
    round({});
    copy(to + first, wire_->given(previous).part);
  }
}

void WireCommunicator::send(const void* data, std::int64_t count, DType dtype, int peer) {
  last_wait_ns_ = wire_->send(bytes_at(static_cast<const std::byte*>(data), 0, count * size_of(dtype)), peer);
}

void WireCommunicator::recv(void* data, std::int64_t count, DType dtype, int peer) {
  const auto bytes = static_cast<std::size_t>(count * size_of(dtype));
  last_wait_ns_ = wire_->recv({static_cast<std::byte*>(data), bytes}, peer);
}

}  // namespace shardscope
