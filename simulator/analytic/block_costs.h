#pragma once
// What one micro-batch costs a rank in each part of a model: seconds of kernels by kind, kernels launched, bytes that
// go over each group, bytes kept for backward. All that an estimate needs and that does not depend on how many ranks,
// stages and micro-batches there are, so that it is computed once and looked up afterwards.

#include <cstdint>

#include "simulator/analytic/estimate.h"
#include "simulator/analytic/gpu_model.h"

namespace shardscope {

/// What the costs of a block depend on.
struct BlockShape {
  std::int64_t micro_batch = 1;
  int tp = 1, cp = 1, ulysses = 1, ep = 1;
  bool sp = false;
  Recompute recompute = Recompute::kNone;
  friend bool operator==(const BlockShape&, const BlockShape&) = default;
};

/// Seconds of kernels of one pass, and how many they are.
struct PassCosts {
  double matmul = 0, attention = 0, elements = 0, kernels = 0;
  double kernel_seconds() const { return matmul + attention + elements; }
};

/// Tensor-parallel collectives of one message: all-reduces; with sp, gathers and scatters, each counted.
struct TensorCalls {
  double forward = 0, backward = 0;
  double again = 0;   ///< in full recompute
  double beside = 0;  ///< of backward, beside products: the rows of an input, gathered once more (our engine)
};

/// Bytes handed to collectives by one rank in one forward; backward sends as much, but where it says otherwise.
struct Traffic {
  double tensor = 0;        ///< whole message of each tensor-parallel collective
  double tensor_calls = 0;  ///< times that the ranks meet in forward: all-reduces, or pairs of gather and scatter
  TensorCalls calls;
  double loss = 0;      ///< of the loss over a split vocabulary: one all-reduce of each row's maximum, one of two sums
  double ring = 0;      ///< keys and values of one turn of the ring of context parallelism
  double exchange = 0;  ///< Ulysses' all-to-alls, all together ...
  double returned = 0;  ///< ... and of these bytes those of attention's result, on their way back
  double experts = 0;   ///< one all-to-all of tokens to experts; there are two
  double own_experts = 1;                          ///< our engine: one for each expert of the rank, by turns with ...
  double expert_forward = 0, expert_backward = 0;  ///< ... the kernels of one, seconds
};

struct Kept {
  double block = 0;       ///< bytes from forward to backward
  double recomputed = 0;  ///< bytes that live while the block is computed again
  double backward = 0;    ///< bytes of gradients inside the block's backward, beyond what frees them (our engine)
};

struct PartCosts {
  PassCosts forward, backward, again;  ///< again: recomputed before backward
  double product_flops = 0;            ///< of matrix products, forward and backward
  double weight_gradient = 0;          ///< seconds of backward that zero-bubble schedules may move
  Traffic traffic;
  Kept kept;
  double parameters = 0;         ///< of one rank: split by tp and ep
  double expert_parameters = 0;  ///< of these, the experts': their copies are dp * tp / ep
  double largest_tensor = 0;     ///< bytes of the largest activation in work
};

struct ModelCosts {
  PartCosts dense, mixture;  ///< a block of each kind (mixture: of experts)
  PartCosts embedding, head;
  PartCosts logits, loss;           ///< the head's two parts, where different ranks have them
  double message = 0;               ///< bytes between stages
  std::int64_t mixture_blocks = 0;  ///< of the whole model
};

ModelCosts compute_costs(const Workload&, const FrameworkSpec&, const FrameworkConstants&, const GpuModel&,
                         const BlockShape&);

}  // namespace shardscope
