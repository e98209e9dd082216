#pragma once
// What `--resume PATH` means: finds the checkpoint, makes sure that it is of the job's model, and says where it stands.
//
//   ResumePoint from = find_resume_point("ckpt", job, say);
//   options.start = from.position;
//   options.fill_state = [&](int, const Program& p, const Memory& m) { restore_state(p, m, *from.open()); };

#include <functional>
#include <memory>
#include <string>

#include "core/engine/checkpoint/checkpoint_folder.h"
#include "core/engine/checkpoint/state_source.h"
#include "core/engine/run_position.h"
#include "core/spec/job.h"

namespace shardscope {

struct ResumePoint {
  std::string path;  ///< of the checkpoint that was found
  RunPosition position;
  std::function<std::unique_ptr<StateSource>()> open;  ///< one for each rank
};

/// `path`: a checkpoint, or a folder of checkpoints (find_checkpoint); ours, or DeepSpeed's. Throws Error: nothing
/// there, damaged, another model (the first key or tensor that differs), no moments, or not before the job's last step.
ResumePoint find_resume_point(const std::string& path, const Job& job, const Say& say);

/// State to export: of our checkpoint, DeepSpeed's, or safetensors.
struct StoredState {
  std::string path;  ///< of what was found
  ModelSpec model;
  std::unique_ptr<StateSource> source;
};

/// `config`: a config.json; empty: what the checkpoint says, or the config.json beside it. Throws Error.
StoredState open_stored_state(const std::string& path, const std::string& config, const Say& say);

}  // namespace shardscope
