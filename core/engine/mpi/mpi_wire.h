#pragma once
// A wire of MPI messages, for ranks on different machines: one message to each rank of the group and round. Groups and
// lanes are told apart by tag.

#include <mpi.h>

#include <vector>

#include "core/engine/process/wire.h"

namespace shardscope {

class MpiWire : public Wire {
 public:
  explicit MpiWire(WireEnds ends);
  std::int64_t round_bytes() const override;
  std::int64_t round(const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) override;
  Given given(int rank) const override;
  std::int64_t send(ConstBytes data, int peer) override;
  std::int64_t recv(std::span<std::byte> data, int peer) override;

 private:
  struct Head;  // before the bytes of a round, and before a message
  struct Peer {
    std::vector<std::byte> out, in;  // of a round: head, part, common, each on a cache line
  };
  int rank(int place) const { return ends_.ranks[static_cast<std::size_t>(place)]; }
  void start_send(const void* data, std::size_t size, int peer);
  void start_recv(void* data, std::size_t size, int peer);
  std::int64_t finish();
  void check_head(const Head& head, const CallHead& call, int peer) const;

  const WireEnds ends_;
  int tag_ = 0;
  std::vector<Peer> peers_;  // by place in the group
  std::vector<MPI_Request> requests_;
};

}  // namespace shardscope
