#include "core/engine/checkpoint/resume.h"

#include <fmt/format.h>

#include "core/engine/checkpoint/checkpoint_source.h"
#include "core/engine/checkpoint/checkpointer.h"
#include "core/error.h"
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

}  // namespace

ResumePoint find_resume_point(const std::string& path, const Job& job, const Say& say) {
  ResumePoint point{.path = find_checkpoint(path, say)};
  const CheckpointSource source(point.path);
  check_model(source, job.model);
  point.position = source.manifest().position;
  say_what_changed(source.manifest(), job, say);
  if (point.position.steps >= job.steps) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: has {} steps done, and the job ends after {}; it needs a larger --steps to go on",
                            point.path, point.position.steps, job.steps));
  }
  point.open = [found = point.path]() -> std::unique_ptr<StateSource> {
    return std::make_unique<CheckpointSource>(found);
  };
  return point;
}

}  // namespace shardscope
