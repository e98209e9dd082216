#include "cli/train_checkpoints.h"

#include <fmt/format.h>

#include "core/engine/arena.h"
#include "core/engine/checkpoint/weights_source.h"

namespace shardscope::cli {
namespace {

void say(const std::string& line) { fmt::print(stderr, "shardscope: {}\n", line); }

bool starts_from_checkpoint(const CheckpointSpec& spec) {
  if (spec.resume.empty()) return false;
  return !spec.resume_if_any || latest_name(spec.resume) || !list_checkpoints(spec.resume).empty();
}

}  // namespace

void add_checkpoint_options(CLI::App& command, JobOverrides& o) {
  command.add_option("--checkpoint", o.checkpoint, "Folder for checkpoints (docs/checkpoints.md)")->type_name("DIR");
  command.add_option("--checkpoint-every", o.checkpoint_every, "Steps between checkpoints; 0: only after the last");
  command.add_option("--checkpoint-keep", o.checkpoint_keep, "Complete checkpoints that stay (default 2); 0: all");
  command
      .add_option("--resume", o.resume,
                  "Go on from a checkpoint, or the newest in a folder; without a value, that of --checkpoint; auto: "
                  "from there if it has any")
      ->expected(0, 1)
      ->type_name("[DIR]");
  command.add_option("--weights", o.weights, "Start from weights in safetensors: a file, or a folder")
      ->type_name("PATH");
}

TrainCheckpoints::TrainCheckpoints(const Job& job, const std::vector<Program>& programs, const Ranks& ranks)
    : job_(job) {
  const Say say_once = ranks.speaks() ? say : [](const std::string& /*said by another*/) {};
  if (starts_from_checkpoint(job.checkpoint)) start_ = find_resume_point(job.checkpoint.resume, job, say_once);
  if (!start_ && !job.checkpoint.weights.empty()) open_weights();
  if (job.checkpoint.path.empty()) return;
  std::vector<int> local;
  for (const Program& program : programs) {
    if (ranks.hub() == nullptr || ranks.rank() == program.rank) local.push_back(program.rank);
  }
  checkpoints_ = std::make_unique<Checkpointer>(
      CheckpointOptions{job.checkpoint.path, job.checkpoint.every, static_cast<int>(job.checkpoint.keep)},
      checkpoint_record(job), deal_state(programs), local, say_once);
}

void TrainCheckpoints::open_weights() {
  check_same_tensors(WeightsSource(job_.checkpoint.weights, job_.model), job_.model);
  open_weights_ = [this] { return std::make_unique<WeightsSource>(job_.checkpoint.weights, job_.model); };
}

void TrainCheckpoints::attach(TrainOptions& options) {
  if (start_) {
    options.start = start_->position;
    options.fill_state = [this](int, const Program& program, const Memory& memory) {
      restore_state(program, memory, *start_->open());
    };
  } else if (open_weights_) {
    options.fill_state = [this](int, const Program& program, const Memory& memory) {
      restore_state(program, memory, *open_weights_());
    };
  }
  if (checkpoints_ == nullptr) return;
  options.at_boundary = [this](int rank, const Memory& memory, const RunPosition& position) {
    checkpoints_->at_boundary(rank, memory, position);
  };
  options.at_end = [this](int rank, const Program&, const Memory& memory) { checkpoints_->finish(rank, memory); };
}

std::string TrainCheckpoints::start_line() const {
  if (open_weights_) return "starts from the weights in " + job_.checkpoint.weights;
  if (!start_) return "";
  return fmt::format("goes on from {}, after step {}", start_->path, start_->position.steps);
}

std::string TrainCheckpoints::problem() const {
  if (checkpoints_ == nullptr || checkpoints_->failures() == 0) return "";
  const std::string last = last_complete();
  return fmt::format("{}: not every checkpoint could be written; {}", job_.checkpoint.path,
                     last.empty() ? "none of this run is complete" : "the last complete one is " + last);
}

std::string TrainCheckpoints::last_complete() const {
  return checkpoints_ == nullptr ? "" : checkpoints_->last_complete();
}

std::string TrainCheckpoints::summary() const {
  if (last_complete().empty()) return "";
  return fmt::format("{}, {}; training waited {:.3f} s for all copies", last_complete(),
                     format_bytes(checkpoints_->bytes()), checkpoints_->copy_seconds());
}

}  // namespace shardscope::cli
