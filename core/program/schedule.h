#pragma once
// Pipeline schedules: in which order a rank works on its micro-batches. Pure; tested by running them on unit times.
//
//   PipelineShape shape{PipelineSchedule::k1F1B, /*ranks=*/4, /*chunks=*/1, /*micro_batches=*/8};
//   for (const Action& action : make_schedule(shape, rank)) ...

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "core/spec/job.h"

namespace shardscope {

enum class ActionKind : std::uint8_t {
  kForward,
  kBackward,  ///< both halves at once
  kInput,     ///< the half of backward that the previous stage waits for: gradients of activations
  kWeight,    ///< the half that nobody waits for: gradients of parameters
};

struct Action {
  ActionKind kind = ActionKind::kForward;
  int chunk = 0;  ///< which of the rank's stages
  int micro_batch = 0;
  friend bool operator==(const Action&, const Action&) = default;
};

struct PipelineShape {
  PipelineSchedule schedule = PipelineSchedule::k1F1B;
  int ranks = 1;   ///< pipeline-parallel size p
  int chunks = 1;  ///< model chunks per rank v; see chunks_of()
  int micro_batches = 1;
  int stages() const { return ranks * chunks; }
  friend auto operator<=>(const PipelineShape&, const PipelineShape&) = default;
};

/// Of a job: without a pipeline one rank that goes forward and backward in turn.
PipelineShape pipeline_shape(const Job& job);

/// Chunks per rank that a schedule runs: `virtual_stages` for interleaved, 2 for the V-shaped ones, else 1.
int chunks_of(PipelineSchedule schedule, int virtual_stages);

/// Whether stages go from the first rank to the last and back up to the first.
bool is_v_shaped(PipelineSchedule schedule);

/// The place of a rank's chunk among all stages, 0 first. Stage s of a V-shaped schedule lies on rank s, then back up.
int stage_at(const PipelineShape& shape, int rank, int chunk);
struct StageOwner {
  int rank = 0, chunk = 0;
};
StageOwner owner_of(const PipelineShape& shape, int stage);

/// Every micro-batch forward once and backward once (whole, or both halves) on every chunk. Legend as in the papers:
/// w warm-up forwards, p ranks, r rank, v chunks, m micro-batches. Throws Error{kConfig} if m does not suit the
/// schedule.
///   gpipe        F x m, B x m.                                         in flight m,        bubble (p-1)(F+B)
///   1f1b         w = p-r-1 F; then F, B in turn.                       in flight w+1,      bubble (p-1)(F+B)
///   interleaved  1f1b over chunks, in groups of p micro-batches.       m % p == 0,         bubble (p-1)(F+B)/v
///   zb-h1        1f1b whose weight half waits for idle time.           in flight p,        bubble (p-1)(F+I-W)
///   zbv          two chunks in a V, halves apart. m >= 2p.             in flight p,        no bubble if F = I = W
///   dualpipev    two chunks in a V, F of one beside B of the other. m >= 2p.  in flight p+1
/// Sources: GPipe (2019), Megatron-LM (2021), Zero Bubble Pipeline Parallelism (2023, 2024), DeepSeek-V3's DualPipe.
std::vector<Action> make_schedule(const PipelineShape& shape, int rank);

}  // namespace shardscope
