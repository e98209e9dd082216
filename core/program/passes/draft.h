#pragma once
// What the passes of lower() hand on to each other: the program so far, and what its buffers stand for.

#include <string>
#include <utility>
#include <vector>

#include "core/program/passes/precision.h"
#include "core/program/passes/tensor_parallel.h"
#include "core/program/program.h"
#include "core/program/schedule.h"
#include "core/spec/job.h"

namespace shardscope {

struct InferenceSpec;

/// The layers that one of this rank's model chunks runs: blocks [first_block, end_block), and what lies around them.
struct StageSpan {
  int stage = 0;  ///< place among all stages of the pipeline
  int first_block = 0, end_block = 0;
  bool has_embedding = true, has_head = true;
};

/// The buffers of one parameter as the layers pass made them: whole tensors, before any sharding.
struct ParameterBuffers {
  BufferId value, gradient;
  BufferId scales;  ///< of int8 values, one per output channel; invalid: values are what they are
};

/// A parameter's place in a flat buffer of several.
struct ChunkMember {
  std::int32_t parameter = 0;
  std::int64_t offset = 0, count = 0;
};

/// A part of the parameters that this rank's optimizer updates, as the zero pass leaves it for the optimizer pass.
struct OptimizerShard {
  Region value;                     ///< what Adam updates (or what its result is copied to, if `own_master`)
  Region gradient;                  ///< the reduced gradient of the same elements
  Region gather;                    ///< whole flat buffer to all-gather into afterwards; empty: none
  GroupId group;                    ///< ranks that share the chunk's state out among them; `gather` runs over it
  bool is_parameter_shard = false;  ///< `value` is a buffer of its own that is gathered for use (stage 3)
  bool own_master = false;          ///< Adam works on a separate fp32 copy of `value`
  int flatten_group = -1;  ///< >= 0: gradients of a group are first copied into one flat buffer (as DeepSpeed does)
  bool in_norm = true;     ///< counts in the gradient norm: false for the second copy of a tied embedding
  NameId name;
  std::vector<ChunkMember> members;  ///< the chunk's parameters; ...
  std::int64_t first = 0;            ///< ... `value` is elements [first, first + count) of the chunk
};

/// What a program of an inference does (core/program/lower_inference.h).
struct InferencePhase {
  const InferenceSpec* spec = nullptr;
  std::int64_t seq = 1;      ///< new tokens of each sequence: the prompt's, or 1
  bool is_prefill = true;    ///< the cache is empty before it
  std::int64_t context = 0;  ///< places that a token is expected to see, for costs
};

/// The experts of each block that a rank has: `count` from `first` on; `ranks` ranks deal them all out.
struct ExpertPart {
  int first = 0, count = 0, ranks = 1;
};

/// What DeepSpeed's optimizer step does beyond the textbook's.
struct StepHabits {
  bool separate_copy = false;  ///< `value` is copied from its master by an op of its own, gathered after all of them
  bool cast_flat = false;      ///< flat gradients keep their dtype and are cast to fp32 as a whole
  bool tests_apart = false;    ///< an overflow test with temporaries of its own, beside the norm
};

struct Draft {
  const Job* job = nullptr;
  const InferencePhase* inference = nullptr;  ///< null: a training step
  int micro_batches = 0;                      ///< instead of the job's; 0: as many as the job says
  int rank = 0;
  TrainingDtypes dtypes;
  StepHabits habits;
  Program program;
  GroupId data_parallel;         ///< in program.groups: all ranks that hold the same parameters
  GroupId shard_group;           ///< ranks that share one copy of the sharded state: data_parallel, or part of it
  GroupId replica_group;         ///< ranks with the same shard of other copies (MiCS, HSDP); invalid: no other
  GroupId node_group;            ///< ZeRO++: neighbours in shard_group that a fast link joins; invalid: not told
  GroupId across_group;          ///< ZeRO++: the ranks at this place of the other nodes; invalid: one node
  GroupId tensor_group;          ///< tensor parallelism; invalid: none
  GroupId ulysses_group;         ///< neighbours that swap sequence for heads; invalid: none
  GroupId ring_group;            ///< ranks that pass keys and values around; invalid: none
  GroupId expert_group;          ///< ranks that deal the experts out; invalid: every rank has all
  GroupId expert_data_parallel;  ///< all ranks that hold the same experts; invalid: as data_parallel
  GroupId pipeline_group;        ///< all stages of this replica of the model; invalid: one stage
  GroupId tied_group;            ///< the two ranks that hold one tied embedding each; invalid: one holds it
  PipelineShape pipeline;
  std::vector<StageSpan> stages;          ///< by chunk
  std::int32_t tied_parameter = -1;       ///< the one tied over tied_group
  std::vector<ParameterBuffers> buffers;  ///< by parameter
  std::vector<std::string> modules;       ///< by parameter: the leaf module that owns it
  std::vector<TensorRole> roles;          ///< by parameter: how tensor-parallel ranks share it
  std::vector<GroupId> sharers;           ///< by parameter: shard_group, or an expert's expert_data_parallel
  std::vector<OptimizerShard> shards;
  bool shards_are_partial = false;  ///< shards of ranks differ, so norms are summed over the group
  double loss_factor = 1;           ///< what the summed loss must be multiplied with to be the mean

  const Group& dp() const { return program.group(data_parallel); }
  const Group& shards_group() const { return program.group(shard_group); }
  ExpertPart experts() const;
};

/// Adds a state piece for each member's part that lies in `home` = elements [first, first + home.count) of its chunk.
void add_state(Program& program, const std::vector<ChunkMember>& members, StateRole role, Region home,
               std::int64_t first);

/// The parts of `region` = elements [first, first + region.count) of a chunk that hold members with this role,
/// neighbours joined.
std::vector<Region> parts_with_role(const Draft& draft, const std::vector<ChunkMember>& members, TensorRole role,
                                    Region region, std::int64_t first);

/// One parameter and one gradient buffer per tensor of this rank's stages.
void add_parameters(Draft& draft);

/// Removes buffers that no instruction, state piece, shard or output refers to.
void drop_unused_buffers(Draft& draft);

/// Appends instructions with one label until it is changed.
class Emitter {
 public:
  explicit Emitter(std::vector<Instruction>& out) : out_(out) {}
  Label label;
  void operator()(Op op, Lane lane = Lane::kCompute) { out_.push_back({std::move(op), lane, label, {}}); }

 private:
  std::vector<Instruction>& out_;
};

/// Calls f(Region&) for every operand of an op, empty ones included.
template <class F>
struct RegionVisitor {
  F& f;
  void buffer(const char*, BufferId) {}
  void group(const char*, GroupId) {}
  template <class T>
  void attr(const char*, const T&) {}
  void read(const char*, Region& r) { f(r); }
  void write(const char*, Region& r) { f(r); }
  void update(const char*, Region& r) { f(r); }
  void write_or_update(const char*, Region& r, bool) { f(r); }
};
template <class F>
void for_each_region(Op& op, F&& f) {
  std::visit([&](auto& o) { std::decay_t<decltype(o)>::fields(o, RegionVisitor<F>{f}); }, op);
}

// The passes, in the order of lower(). What holds before and after each, and why it stands where it does, is said in
// its source file.
void pass_stages(Draft& draft);
void pass_layers(Draft& draft);
void pass_inference_layers(Draft& draft);
void pass_recompute(Draft& draft);
void pass_kept_inputs(Draft& draft);
void pass_zero(Draft& draft);
void pass_optimizer(Draft& draft);
void pass_offload(Draft& draft);
void pass_offload_param(Draft& draft);
void pass_swap_optimizer(Draft& draft);
void pass_fold_fills(Draft& draft);
void pass_lifetimes(Draft& draft);
void pass_order(Draft& draft);

}  // namespace shardscope
