#pragma once
// What carries bytes between the ranks of one group on one lane, when they are processes: shared memory within a
// machine, TCP or MPI between machines. Collectives are made of rounds (wire_communicator.h): in a round every rank
// gives something to every other and takes what they gave.
//
//   wire.round({Call::kAllGather, bytes}, {}, mine);
//   copy(wire.given(3).common);                       // what rank 3 of the group gave
//
// Calls block; all ranks of the group make the same ones in the same order. While waiting they call `check` every
// kCheckMs, which throws PeerStopped once the run was stopped.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace shardscope {

enum class Call : std::uint32_t { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kAllToAll, kRingShift, kSend };
const char* to_string(Call call);

/// What a round or message belongs to, so that ranks that are in different calls are told so.
struct CallHead {
  Call call = Call::kAllReduce;
  std::int64_t bytes = 0;  ///< of the whole call
};

using ConstBytes = std::span<const std::byte>;

/// What a rank gave in a round.
struct Given {
  CallHead head;
  ConstBytes part, common;  ///< for us, and for everybody
};

inline constexpr int kCheckMs = 20;

class Wire {
 public:
  virtual ~Wire() = default;
  /// Most that a rank may give in one round, all parts and the common one together.
  virtual std::int64_t round_bytes() const = 0;
  /// Gives parts[r] to rank r (parts empty: nothing; ours is not looked at) and `common` to all, and waits until all
  /// others gave. Returns the nanoseconds until the last of them had come. What is given may change afterwards.
  virtual std::int64_t round(const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) = 0;
  /// What a rank gave in the last round; stays until the next one.
  virtual Given given(int rank) const = 0;
  /// One message to one rank, and the matching one. Both return the nanoseconds spent waiting for the other side, when
  /// the data may change, or is there.
  virtual std::int64_t send(ConstBytes data, int peer) = 0;
  virtual std::int64_t recv(std::span<std::byte> data, int peer) = 0;
};

/// Where a wire runs: the ranks of the run that the group is made of, and which of them we are.
struct WireEnds {
  std::string name;       ///< "group dp on reduce", for messages
  std::uint64_t key = 0;  ///< of the group and lane: the same on all its ranks, and of no other
  std::vector<int> ranks;
  int self = 0;
  std::function<void()> check;
  int size() const { return static_cast<int>(ranks.size()); }
};

/// Throws Error{kDevice} naming both ranks (of the run) if they are in different calls.
void check_same(const WireEnds& ends, const CallHead& ours, const CallHead& theirs, int peer);

using WireFactory = std::function<std::unique_ptr<Wire>(WireEnds)>;

}  // namespace shardscope
