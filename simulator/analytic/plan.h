#pragma once
// One way to train a model on a cluster, and what it would take: the plain data that the closed form (estimate.h), the
// planner and the validation against published runs pass around.
//
//   Plan plan{.gpus = 64, .dp = 8, .tp = 8, .zero = 1, .micro_batch = 2, .global_batch = 256};

#include <array>
#include <cstdint>
#include <string_view>

#include "core/spec/hardware.h"
#include "core/spec/job.h"

namespace shardscope {

/// What leaves the device: DeepSpeed's offload_optimizer and offload_param.
enum class Offload : std::uint8_t { kNone, kOptimizer, kOptimizerNvme, kParameters, kParametersNvme };

/// gpus = dp * tp * pp * cp * ulysses; experts (ep) are shared out inside dp * tp.
struct Plan {
  int gpus = 1, dp = 1, tp = 1, pp = 1, vpp = 1, cp = 1, ulysses = 1, ep = 1;
  bool sp = false;  ///< Megatron's sequence parallelism beside tp
  int zero = 0;     ///< 0 to 3; 3 is FSDP
  int shard = 0;    ///< ranks that share one copy of the state (HSDP, MiCS); 0: all of dp
  int hpz = 1;      ///< ZeRO++: ranks that share a second copy of the parameters, which backward gathers from
  bool quantized_weights = false, quantized_gradients = false;  ///< ZeRO++: gathered in int8, reduced in int4
  Offload offload = Offload::kNone;
  Recompute recompute = Recompute::kNone;
  PipelineSchedule schedule = PipelineSchedule::k1F1B;  ///< vpp > 1: interleaved
  std::int64_t micro_batch = 1, global_batch = 1;       ///< sequences

  bool zero_plus_plus() const { return hpz > 1 || quantized_weights || quantized_gradients; }
  std::int64_t micro_batches() const { return global_batch / (dp * micro_batch); }
  friend bool operator==(const Plan&, const Plan&) = default;
};

/// What a step's time is made of. Terms of one estimate sum to its step time.
enum class TimeTerm : std::uint8_t {
  kMatmul,     ///< matrix products, forward and backward
  kAttention,  ///< its kernels
  kElements,   ///< norms, activations, residuals, loss: bound by memory bandwidth
  kHost,       ///< the device waits for the host to launch kernels
  kRecompute,  ///< forward again
  kTensor,     ///< exposed communication of tensor parallelism
  kContext,    ///< of context parallelism and Ulysses
  kExpert,     ///< of expert parallelism, and the imbalance of experts
  kData,       ///< of data parallelism: gradients, ZeRO's gathers
  kPipeline,   ///< messages between stages
  kBubble,     ///< stages that wait
  kOptimizer,  ///< update, norm of gradients
  kOffload,    ///< copies to the host or a drive, update on the host
  kFixed,      ///< once a step: data loader, logging, synchronisation
};
inline constexpr int kTimeTerms = 14;
std::string_view to_string(TimeTerm);
std::string_view title_of(TimeTerm);  ///< in words: "matrix products"

/// What a device's memory is made of, at the peak of the fullest rank.
enum class MemoryTerm : std::uint8_t {
  kParameters,
  kGradients,
  kOptimizer,    ///< masters and moments
  kActivations,  ///< kept from forward to backward
  kRecomputed,   ///< of the block being computed again
  kLogits,
  kGathered,       ///< ZeRO-3's whole parameters of the blocks in work
  kBuckets,        ///< of gradients and parameters on their way
  kWorkspace,      ///< gradients of activations, kernels' scratch
  kContext,        ///< CUDA context, libraries (not seen by the framework's allocator)
  kCollectives,    ///< NCCL's buffers (likewise)
  kFragmentation,  ///< reserved by the allocator, not allocated
};
inline constexpr int kMemoryTerms = 12;
std::string_view to_string(MemoryTerm);
std::string_view title_of(MemoryTerm);

struct Estimate {
  std::array<double, kTimeTerms> seconds{};
  std::array<double, kMemoryTerms> bytes{};
  double step_time_s = 0;
  double allocated = 0;  ///< bytes that tensors take: torch's max_memory_allocated
  double reserved = 0;   ///< and what the allocator holds beside: max_memory_reserved
  double used = 0;       ///< and context and NCCL: what nvidia-smi shows
  double at_start = 0;   ///< bytes at the peak of initialisation
  double host_bytes = 0, pinned_bytes = 0, nvme_bytes = 0;  ///< per GPU
  double bubble_fraction = 0;
  bool fits = false;  ///< used is within the device

  double& operator[](TimeTerm t) { return seconds[static_cast<std::size_t>(t)]; }
  double operator[](TimeTerm t) const { return seconds[static_cast<std::size_t>(t)]; }
  double& operator[](MemoryTerm t) { return bytes[static_cast<std::size_t>(t)]; }
  double operator[](MemoryTerm t) const { return bytes[static_cast<std::size_t>(t)]; }
};

}  // namespace shardscope
