#pragma once
// A wire over TCP, a connection to each rank of the group: for ranks on different machines.

#include <functional>
#include <vector>

#include "core/engine/process/socket.h"
#include "core/engine/process/wire.h"

namespace shardscope {

class TcpWire : public Wire {
 public:
  /// `connect` gives the connection to a rank of the run, when it is first needed.
  TcpWire(WireEnds ends, std::function<Socket(int rank)> connect);
  std::int64_t round_bytes() const override;
  std::int64_t round(const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) override;
  Given given(int rank) const override;
  std::int64_t send(ConstBytes data, int peer) override;
  std::int64_t recv(std::span<std::byte> data, int peer) override;

 private:
  struct Head {  // before every round's bytes, and every message (a part)
    CallHead call;
    std::int64_t part = 0, common = 0;  // bytes
  };
  struct Peer {
    Socket socket;
    bool lost = false;
    Head out_head, in_head;
    std::vector<ConstBytes> out;           // what is left to write
    std::vector<std::span<std::byte>> in;  // what is left to read
    bool head_came = false;                // of what we read now
    std::vector<std::byte> body;           // of a round: the part, then, on a cache line, the common one
    std::span<std::byte> message;          // where a message goes
  };
  Peer& peer(int rank);
  static void write(Peer& to, const CallHead& call, ConstBytes part, ConstBytes common);
  static void read(Peer& from, std::span<std::byte> message);
  std::int64_t finish(const CallHead& ours, std::int64_t start);
  bool move(int rank, const CallHead& ours);
  bool move_out(Peer& to) const;
  bool move_in(int rank, const CallHead& ours);
  void take_head(int rank, const CallHead& ours);
  void sleep() const;
  void refuse_lost() const;

  const WireEnds ends_;
  const std::function<Socket(int)> connect_;
  std::vector<Peer> peers_;  // by place in the group
};

}  // namespace shardscope
