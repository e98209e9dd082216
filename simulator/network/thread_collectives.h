#pragma once
// What collectives cost between ranks that are threads of one process (core/engine/thread_communicator.h).

#include <map>
#include <string>
#include <string_view>

#include "core/units.h"
#include "simulator/machine.h"

namespace shardscope {

/// Formula:   alpha-beta by op and number of ranks, T = alpha(ranks) + f(ranks) * bytes / B(bytes), where the measured
///            curve over bytes is both terms at once: it is flat at alpha for small messages and has one slope in the
///            caches and another past them.
/// Units:     bytes as collective_bytes() counts them (core/program/program.h); seconds from the arrival of the last
///            rank to the end on all, each rank on a core of its own.
/// Ranks:     a number that was not measured takes the nearest that was; alpha and f grow slowly with it, which is
///            left out (Guess).
/// Source:    calibrate (Machine::collectives).
class ThreadCollectives {
 public:
  explicit ThreadCollectives(const Machine& machine);
  /// `dtype` matters to sums: those of bf16 and fp16 have curves of their own.
  Seconds time(std::string_view op, DType dtype, int ranks, Bytes size) const;

 private:
  struct Measured {
    Curve seconds;
    double crowding = 1;  ///< ranks per core's worth of work while it was measured
  };
  std::map<std::string, std::map<int, Measured>, std::less<>> curves_;
};

/// alpha-beta guess of the curve of an op among `ranks` threads on `cores` cores, for machines that measured none.
CollectiveCurve guess_collective(std::string_view op, int ranks, int cores, BytesPerSecond copy_per_core);

}  // namespace shardscope
