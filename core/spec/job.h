#pragma once
// A job: model, training, parallel layout, data and where to run, from one job file (docs/job.md) and the command
// line's flags. The only description that lower() needs.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/spec/cluster_spec.h"
#include "core/spec/model_spec.h"
#include "core/spec/training_spec.h"

namespace shardscope {

enum class PipelineSchedule : std::uint8_t { kGpipe, k1F1B, kInterleaved, kZbH1, kZbv, kDualPipeV };
enum class Partition : std::uint8_t { kUniform, kParameters, kBalanced };
enum class Recompute : std::uint8_t { kNone, kSelective, kFull };

/// textbook: real reduce-scatter and copy-free gathers, what our engine runs by default.
/// deepspeed: as DeepSpeed 0.19 really does it. The same pass with other parameters.
enum class ZeroMode : std::uint8_t { kTextbook, kDeepSpeed };

struct ParallelSpec {
  int dp = 1, tp = 1, pp = 1, cp = 1, ep = 1;
  bool sp = false;
  int ulysses = 1;
  PipelineSchedule schedule = PipelineSchedule::k1F1B;
  int virtual_stages = 1;
  Partition partition = Partition::kBalanced;
  int ranks() const { return dp * tp * pp * cp; }
};

/// Mixture of experts, as far as the model's config does not say it.
struct MoeSpec {
  /// Rows that an expert takes of one rank's micro-batch, relative to its even share of them; the rest is dropped. 0:
  /// all that come.
  double capacity_factor = 0;
};

struct DataSpec {
  std::string path;       ///< a text file or a directory of them
  std::string tokenizer;  ///< a SentencePiece model; empty: bytes
  std::int64_t seq_len = 0;
};

/// "fp8": the products of the blocks' linear layers multiply 8-bit floats (MatMul in core/program/ops.h).
struct Fp8Spec {
  enum class Format : std::uint8_t {
    kHybrid,  ///< activations and weights E4M3, gradients E5M2, as in Transformer Engine
    kE4M3,    ///< all
  };
  bool enabled = false;
  Format format = Format::kHybrid;
};

/// "checkpoint" and "weights": what a run starts from, and where it keeps its state.
struct CheckpointSpec {
  std::string path;            ///< folder of checkpoints; empty: none are written
  std::int64_t every = 0;      ///< steps; 0: only after the last one
  std::int64_t keep = 2;       ///< complete checkpoints that stay; 0: all
  std::string resume;          ///< checkpoint, or folder of them, to go on from; empty: start anew
  bool resume_if_any = false;  ///< "auto": `resume` may hold nothing yet
  std::string weights;         ///< safetensors, or a folder with them, to start from; empty: random
};

struct Job {
  ModelSpec model;
  TrainingSpec training;
  ParallelSpec parallel;
  MoeSpec moe;
  Fp8Spec fp8;
  DataSpec data;
  CheckpointSpec checkpoint;
  ZeroMode zero_mode = ZeroMode::kTextbook;
  Recompute recompute = Recompute::kNone;
  std::int64_t recompute_every = 1;  ///< blocks that keep one input and are computed again together
  std::int64_t steps = 20;
  std::uint64_t seed = 42;
  std::string backend = "cpu";
  std::string launcher = "auto";          ///< threads, mpi, or auto: as the process was started
  double hang_timeout_s = 30;             ///< a rank that does not get on for so long ends the run; 0: never
  std::int64_t device_memory_bytes = 0;   ///< limit of the device arena; 0: none
  std::string machine, cluster, profile;  ///< paths, empty if not given; a cluster may be "SYSTEM:GPUS" instead
  /// What is trained, as a job file that names no other: flags put in, the model's and DeepSpeed's files written out.
  /// parse_job(text) lowers to the same programs. Without what only says where to run.
  std::string text;
};

/// What the command line adds to, or puts in place of, the job file's keys.
struct JobOverrides {
  std::optional<std::string> model, deepspeed, data, tokenizer, profile, machine, cluster, zero_mode, recompute;
  std::optional<std::string> checkpoint, weights;
  std::optional<std::string> resume;  ///< empty: the folder of `checkpoint`; "auto": the same if it holds any
  std::optional<int> ranks;           ///< sets dp so that dp*tp*pp*cp = ranks
  std::optional<int> stage;           ///< zero_optimization.stage
  std::optional<std::string> launcher, backend;
  std::optional<double> hang_timeout_s;
  std::optional<std::int64_t> steps, seq_len, micro_batch, accumulation, checkpoint_every, checkpoint_keep;
  std::optional<std::uint64_t> seed;
};

/// `path` empty: everything from the overrides. Relative paths in the file are relative to it. Unknown keys are errors.
Job load_job(const std::string& path, const JobOverrides& overrides);
Job parse_job(std::string_view json_text, const std::string& file_name, const JobOverrides& overrides);

std::string_view to_string(PipelineSchedule);
std::string_view to_string(ZeroMode);
std::string_view to_string(Recompute);
std::string_view to_string(Fp8Spec::Format);

}  // namespace shardscope
