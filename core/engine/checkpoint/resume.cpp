#include "core/engine/checkpoint/resume.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/engine/checkpoint/checkpoint_source.h"
#include "core/engine/checkpoint/checkpointer.h"
#include "core/engine/checkpoint/deepspeed/deepspeed_checkpoint.h"
#include "core/engine/checkpoint/weights_source.h"
#include "core/error.h"
#include "core/spec/model_catalog.h"
#include "core/spec/model_config.h"

namespace shardscope {
namespace {

void check_model(const CheckpointSource& source, const ModelSpec& model) {
  const std::string difference = find_config_difference(model_config_json(model), source.manifest().model_json);
  if (!difference.empty()) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: is of another model: the job's has {}", source.path(), difference));
  }
  check_same_tensors(source, model);
}

void say_what_changed(const Manifest& manifest, const Job& job, const Say& say) {
  if (manifest.seed != job.seed) {
    say(fmt::format("seed {} instead of the checkpoint's {}: the data comes in another order", job.seed,
                    manifest.seed));
  }
  const std::string difference = find_config_difference(checkpoint_record(job).training_json, manifest.training_json);
  if (!difference.empty()) say("goes on with another " + difference);
}

ResumePoint resume_ours(const std::string& path, const Job& job, const Say& say) {
  ResumePoint point{.path = find_checkpoint(path, say)};
  const CheckpointSource source(point.path);
  check_model(source, job.model);
  point.position = source.manifest().position;
  say_what_changed(source.manifest(), job, say);
  point.open = [found = point.path]() -> std::unique_ptr<StateSource> {
    return std::make_unique<CheckpointSource>(found);
  };
  return point;
}

ResumePoint resume_deepspeed(const std::string& folder, const Job& job) {
  const DeepSpeedCheckpoint found = open_deepspeed(folder, job.model, true);
  check_same_tensors(*found.source, job.model);
  if (!found.source->has_moments()) {
    throw Error(ErrorKind::kUnsupported, folder +
                                             ": has weights and no optimizer state that can be read (ZeRO stage 0); "
                                             "export it with 'shardscope weights' and start with --weights");
  }
  ResumePoint point{.path = folder, .position = found.position};
  if (point.position.sequences == 0) point.position.sequences = point.position.steps * job.training.train_batch_size;
  point.open = [folder, model = job.model] { return open_deepspeed(folder, model, false).source; };
  return point;
}

ModelSpec model_beside(const std::string& folder, const std::string& config, const std::string& path) {
  if (!config.empty()) return open_model(config);
  for (const std::string& place : {path, folder, std::filesystem::path(folder).parent_path().string()}) {
    const std::string file = join_path(place, "config.json");
    std::error_code error;
    if (std::filesystem::is_regular_file(file, error)) return load_model(file);
  }
  throw Error(ErrorKind::kConfig, path + ": there is no config.json beside it; name the model's with --model");
}

}  // namespace

ResumePoint find_resume_point(const std::string& path, const Job& job, const Say& say) {
  const std::optional<std::string> deepspeed = find_deepspeed(path);
  ResumePoint point = deepspeed ? resume_deepspeed(*deepspeed, job) : resume_ours(path, job, say);
  if (point.position.steps >= job.steps) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: has {} steps done, and the job ends after {}; it needs a larger --steps to go on",
                            point.path, point.position.steps, job.steps));
  }
  return point;
}

StoredState open_stored_state(const std::string& path, const std::string& config, const Say& say) {
  StoredState state;
  if (const std::optional<std::string> deepspeed = find_deepspeed(path)) {
    state.path = *deepspeed;
    state.model = model_beside(*deepspeed, config, path);
    state.source = open_deepspeed(*deepspeed, state.model, true).source;
  } else if (is_weights(path)) {
    state.path = path;
    const bool file = path.ends_with(".safetensors") || path.ends_with(".json");
    state.model = model_beside(file ? std::filesystem::path(path).parent_path().string() : path, config, path);
    state.source = std::make_unique<WeightsSource>(path, state.model);
  } else {
    state.path = find_checkpoint(path, say);
    auto ours = std::make_unique<CheckpointSource>(state.path);
    state.model = config.empty() ? parse_model(ours->manifest().model_json, join_path(state.path, kManifestFile))
                                 : open_model(config);
    state.source = std::move(ours);
  }
  check_same_tensors(*state.source, state.model);
  return state;
}

}  // namespace shardscope
