#pragma once
// The machine that ranks run on as threads, described by what was measured of it: how fast each family of ops runs by
// size, what a collective costs, what ranks share. Written by `shardscope calibrate`, kept as JSON with the source of
// every number (docs/simulator.md).
//
//   Machine machine = path.empty() ? default_machine() : load_machine(path);
//   Prediction p = simulate(programs, machine);

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/program/types.h"
#include "core/units.h"
#include "simulator/cost/curve.h"

namespace shardscope {

/// Seconds of a family of ops on `threads` cores. What x counts depends on the family (simulator/cost/op_family.h):
/// bytes for element-wise ops, elements for the loss, and so on.
struct FamilyCurve {
  std::string family;  ///< "layer_norm", "adam:bf16", "activation:gelu_tanh", ...
  int threads = 1;
  Curve seconds;  ///< x: work of one op, y: seconds of one op without the lane's overhead
};

/// One measured matrix product or attention: a point the cost model interpolates between.
struct MatMulPoint {
  int threads = 1;
  double m = 0, n = 0, k = 0;
  bool trans_a = false, trans_b = false, accumulate = false;
  double seconds = 0;
  DType dtype = DType::kF32;  ///< of all operands
};
struct AttentionPoint {
  int threads = 1;
  bool backward = false;
  double batch = 0, seq = 0, heads = 0, kv_heads = 0, head_dim = 0;
  double seconds = 0;
  DType dtype = DType::kF32;  ///< of all operands but the statistics
};

/// Seconds of a collective of the thread communicator, all ranks present, by the bytes collective_bytes() counts.
/// Measured with as many cores per rank as this machine has: oversubscription is in it when ranks > cores.
struct CollectiveCurve {
  std::string op;  ///< "all_reduce", "all_gather", ...; of 16-bit sums "all_reduce:bf16"
  int ranks = 2;
  Curve seconds;
};

/// The drive that swap files lie on, as core/engine/nvme moves bytes to and from it.
struct Drive {
  Curve read, write;    ///< x: bytes of one transfer, y: seconds
  double together = 1;  ///< transfers' worth of work done by a read and a write at once: 1 if they share, 2 if not
  double cores = 0;     ///< that a transfer keeps busy, for checksums and the system's own work
};

struct Machine {
  std::string name = "this machine";
  bool calibrated = false;  ///< false: every number below is a Guess from the number of cores
  std::string source;       ///< who measured it, when, on what; or "Guess: ..."
  int cores = 1;
  /// x: ranks of one thread each, y: cores' worth of work they do together. Below `cores` where the system's scheduler
  /// shares badly: three ranks on two cores.
  Curve core_capacity;
  /// x: ranks, y: seconds that a collective takes longer when it starts while no core is left for it: how long the
  /// system's scheduler lets its threads wait.
  Curve crowded_meeting;
  FlopPerSecond core_peak;          ///< best matmul rate seen on one core, others idle
  FlopPerSecond machine_peak;       ///< best matmul rate of all cores together: what MFU is measured against
  BytesPerSecond memory_bandwidth;  ///< of all cores streaming together, past the caches
  Bytes cache;                      ///< working set up to which memory_bandwidth is not drawn upon
  Seconds op_overhead;              ///< a lane's fixed time per op
  Seconds wake_latency;             ///< from an op's end to the start of the op on another lane that waited for it
  Seconds step_overhead;            ///< of a step outside its ops: waking the lanes, reading the loss, the schedule
  std::vector<FamilyCurve> families;
  std::vector<MatMulPoint> matmuls;
  std::vector<AttentionPoint> attentions;
  std::vector<CollectiveCurve> collectives;
  Drive drive;  ///< a file without one was written before there were drives: guesses

  /// Compute threads of each of `ranks` ranks, as the trainer gives them out: an equal share, at least one.
  int threads_per_rank(int ranks) const;
  /// Cores' worth of work that `ranks` ranks do together: `cores` unless they outnumber them.
  double capacity(int ranks) const;
  /// What MFU of one of `ranks` ranks is measured against.
  FlopPerSecond peak_per_rank(int ranks) const;
};

/// Guesses from the number of cores of this machine alone (0: ask the system). `calibrated` is false.
Machine default_machine(int cores = 0);

/// Throws Error{kParse, kConfig, kIo} with file, key and what would be right; every number must be finite and positive.
Machine load_machine(const std::string& path);
Machine parse_machine(std::string_view json_text, const std::string& file_name);
std::string to_json(const Machine& machine);
/// Throws Error{kIo}.
void save_machine(const Machine& machine, const std::string& path);

}  // namespace shardscope
