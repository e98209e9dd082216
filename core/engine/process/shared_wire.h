#pragma once
// A wire through memory that the ranks of a group share: what a rank gives is copied in once and read by the others in
// place.
//
//   auto wire = std::make_unique<SharedWire>(ends, memory.range(key, SharedWire::bytes(ranks), check), spin);

#include <memory>
#include <vector>

#include "core/engine/process/shared_memory.h"
#include "core/engine/process/wire.h"

namespace shardscope {

class SharedWire : public Wire {
 public:
  static std::int64_t bytes(int ranks);  ///< of the range it needs; only what is used becomes real memory
  /// `spin`: the machine has a core for each rank, so that waiting may burn some microseconds before it sleeps.
  SharedWire(WireEnds ends, SharedRange range, bool spin);
  std::int64_t round_bytes() const override;
  std::int64_t round(const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) override;
  Given given(int rank) const override;
  std::int64_t send(ConstBytes data, int peer) override;
  std::int64_t recv(std::span<std::byte> data, int peer) override;

 private:
  struct Counter;  // what one rank counts up and others wait for
  struct Slot;     // what a rank gave in one round
  struct Mail;     // messages from one rank to another
  Counter& gives(int rank) const;
  Slot& slot(int rank, std::uint32_t round) const;
  std::byte* slot_data(Slot& slot) const;
  Mail& mail(int from, int to) const;
  void write(Slot& slot, const CallHead& head, std::span<const ConstBytes> parts, ConstBytes common) const;
  std::int64_t wait_for(Counter& counter, std::uint32_t value) const;  // nanoseconds it took

  const WireEnds ends_;
  const SharedRange range_;
  const bool spin_;
  std::uint32_t rounds_;  // given by us so far
};

}  // namespace shardscope
