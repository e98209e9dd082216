#pragma once
// What a training framework keeps, fuses, overlaps and in which type it reduces, as implemented: data, not code
// (data/frameworks/*.json, each entry with its source).
//
//   const FrameworkSpec& megatron = find_framework(default_frameworks(), "Megatron-LM (TE 2.11)");

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec/hardware.h"
#include "core/spec/job.h"

namespace shardscope {

/// vendor: cuDNN, FlashAttention-3, where the device has better ones than FlashAttention-2.
enum class AttentionKernel : std::uint8_t { kPlain, kFlash, kVendor };

struct FrameworkSpec {
  std::string name, title;
  std::vector<std::string> aliases;  ///< prefixes of what tables call it
  /// Our own engine: memory by the moments of its program (engine_memory.h), stages by core/program/partition.h.
  bool engine = false;
  Partition partition = Partition::kBalanced;  ///< of the engine

  // Bytes per parameter. With ZeRO the rank's share follows from the stage.
  double parameter_bytes = 2;  ///< the copy that kernels read
  double gradient_bytes = 4;   ///< accumulated gradient, kept for the step
  double backward_bytes = 0;   ///< and the one that backward writes, if apart; lives for a step
  double master_bytes = 4;     ///< fp32 copy; 0 where parameters themselves are fp32 shards
  double moment_bytes = 8;
  double step_bytes = 0;               ///< temporaries of the update, per element of the rank's part
  bool shards_gradients_at_1 = false;  ///< ZeRO-1 keeps only the rank's part of the accumulated gradient
  bool accumulates_in_place = false;   ///< autograd's gradient is the accumulated one: backward_bytes takes time only
  double fresh_gradient_bytes = 0;     ///< ZeRO-2: a micro-batch's own, beside the accumulated ones

  // What an engine like DeepSpeed's holds beside its state. Elements, 0: does not do so.
  std::int64_t reuse_elements = 0;       ///< ZeRO-3 keeps what is used again within so many elements of its trace
  std::int64_t prefetch_elements = 0;    ///< and gathers so many ahead, through a flat buffer that they are copied from
  std::int64_t live_elements = 0;        ///< but gathers none ahead beyond so many; 0: gathered_blocks says what lives
  std::int64_t persistent_elements = 0;  ///< ZeRO-3 shards no tensor that is not larger
  std::int64_t sub_group_elements = 0;   ///< the update takes so many of the rank's elements at a time; 0: all
  double flush_copies = 0;               ///< whole copies of a bucket that its reduction makes
  bool keeps_bucket = false;             ///< ZeRO-3's bucket is allocated once, of full size
  bool builds_sharded = true;            ///< ZeRO-3 never has the whole model on a device (zero.Init)
  double host_gradient_bytes = 0;  ///< offload: gradient that the host's update reads; each host buffer apart, then

  // Communication.
  double reduce_bytes = 4, gather_bytes = 2;  ///< per element on the wire
  bool zero_plus_plus = false;                ///< has hpZ and quantised messages, of which it is known what they do
  bool all_reduces = false;                   ///< gradients are all-reduced also where a reduce-scatter would do
  bool overlaps_gradients = true, overlaps_gathers = true, overlaps_tensor = false;
  bool gathers_by_micro_batch = true;  ///< ZeRO-3 frees parameters after each use
  bool reduces_by_micro_batch = true;  ///< of ZeRO-2 and 3
  std::int64_t bucket_elements = 40'000'000;
  double copied_tensors = 0;       ///< ZeRO-1 copies so many tensors of a block for each rank apart; 0: buckets only
  bool sends_tokens_once = false;  ///< a token that several experts of a node want crosses the network once (DeepEP)
  bool stops_recompute_early = false;  ///< full recompute leaves out a block's last product, whose result nobody needs
  bool overlaps_update = true;     ///< with overlaps_gathers: ZeRO-1 and 2 gather parameters behind the next forward
  bool overlaps_messages = false;  ///< stages send and receive beside compute
  bool scatters_messages = true;   ///< tensor-parallel ranks send a part each between stages
  bool prefetches_far = false;     ///< ZeRO-3 gathers run several blocks ahead: only their sum has to hide
  bool keeps_gathered_inputs = false;  ///< with sp: products' inputs stay gathered from forward to backward
  bool regathers_inputs =
      false;                     ///< with sp: inputs are gathered again in backward, beside products, as are sums there
  bool balanced_stages = false;  ///< a pipeline deals blocks and head by their parameters, as nanotron does
  std::int64_t gathered_blocks = 2;  ///< ZeRO-3: blocks whose whole parameters live at once

  // Kernels.
  AttentionKernel attention = AttentionKernel::kFlash;
  bool fused_norm = true, fused_activation = true, fused_rope = true, fused_loss = false, fused_dropout_add = true;
  /// Per logit, of a loss that is not fused, both ways. Megatron-LM's of old and nanotron's: cast to fp32 6, maximum 4,
  /// difference 8, exponentials 8, sum 4, quotient 8; product 8, cast 6.
  double loss_bytes = 52;
  double attention_copies = 0;  ///< times that q, k and v are copied, in forward and again in backward
  bool dropout = false;
  double block_kernels = 20;    ///< launched by a dense block's forward without tensor parallelism
  double backward_kernels = 2;  ///< times those of forward
  bool graphs = false;          ///< CUDA graphs: no launch cost per kernel
  // Activations kept, beside inputs of products.
  bool keeps_norm_input = true, keeps_activation_input = true, recomputes_activation = false;
  double scratch_gradient_bytes =
      0;                   ///< per parameter of a block: what autograd is made to write beside the real gradient
  double logit_bytes = 6;  ///< per logit at the loss's peak
  bool keeps_exchanged_result = false;  ///< Ulysses: attention's result on both sides of the exchange

  // What a run that does not say uses.
  std::int64_t default_zero = 0;
  bool default_sp = false;  ///< sequence parallelism wherever there is tensor parallelism
  std::string source;
};

/// Our own engine keeps and sends everything in the type of its products: four bytes and no master copy in fp32 and
/// tf32, else two. What others do in fp32 is not known and stays.
FrameworkSpec in_precision(FrameworkSpec, Arithmetic);

std::vector<FrameworkSpec> parse_frameworks(std::string_view json_text, const std::string& file_name);
const std::vector<FrameworkSpec>& default_frameworks();
/// By name or by an alias that the text begins with; Error{kConfig} lists the known ones.
const FrameworkSpec& find_framework(const std::vector<FrameworkSpec>&, std::string_view text);

}  // namespace shardscope
