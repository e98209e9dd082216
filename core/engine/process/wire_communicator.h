#pragma once
// The Communicator of ranks that are processes: collectives as rounds on a wire. Data passes in pieces that stay in the
// cache, and sums run in rank order, so the bits are those of ThreadHub.

#include <memory>
#include <vector>

#include "core/engine/communicator.h"
#include "core/engine/process/wire.h"

namespace shardscope {

class WireCommunicator : public Communicator {
 public:
  WireCommunicator(WireEnds ends, std::unique_ptr<Wire> wire);
  int rank() const override { return ends_.self; }
  int size() const override { return ends_.size(); }
  std::int64_t last_wait_ns() const override { return last_wait_ns_; }
  void check_peers() const override { ends_.check(); }
  void all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) override;
  void reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) override;
  void all_gather(const void* in, void* out, std::int64_t count, DType dtype) override;
  void broadcast(void* data, std::int64_t count, DType dtype, int root) override;
  void all_to_all(const void* in, void* out, std::int64_t count, DType dtype) override;
  void ring_shift(const void* in, void* out, std::int64_t count, DType dtype) override;
  /// Like NCCL's, a program must not rely on buffering: most wires return when the receiver has the data.
  void send(const void* data, std::int64_t count, DType dtype, int peer) override;
  void recv(void* data, std::int64_t count, DType dtype, int peer) override;

 private:
  struct Range {
    std::int64_t first = 0, count = 0;  // elements
  };
  void start(Call call, std::int64_t bytes);
  void round(ConstBytes common);
  std::int64_t piece_elements(std::int64_t shares, DType dtype) const;
  Range chunk_of(Range piece, int rank) const;
  void all_reduce_small(std::byte* data, std::int64_t count, DType dtype, ReduceOp op);
  void give_chunks(const std::byte* data, Range piece, std::int64_t element);
  void sum_given(const std::byte* own, std::byte* out, std::int64_t count, DType dtype, ReduceOp op);
  template <class Take>
  void exchange_slices(const std::byte* in, std::int64_t count, DType dtype, const Take& take);

  const WireEnds ends_;
  const std::unique_ptr<Wire> wire_;
  CallHead head_;
  bool first_round_ = false;
  std::int64_t last_wait_ns_ = 0;
  std::vector<ConstBytes> parts_;         // kept between calls: no allocation per collective
  std::vector<const std::byte*> inputs_;  // the same
};

}  // namespace shardscope
