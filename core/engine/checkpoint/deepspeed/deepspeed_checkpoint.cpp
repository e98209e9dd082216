#include "core/engine/checkpoint/deepspeed/deepspeed_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "core/engine/checkpoint/deepspeed/deepspeed_files.h"
#include "core/error.h"
#include "core/spec/json_tree.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelFile = "mp_rank_00_model_states.pt";
constexpr const char* kModelFile3 = "zero_pp_rank_0_mp_rank_00_model_states.pt";

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool is_universal(const std::string& folder) {
  std::error_code error;
  return fs::is_directory(join_path(folder, "zero"), error);
}

bool has_files(const std::string& folder) {
  return is_universal(folder) || exists(join_path(folder, kModelFile)) || exists(join_path(folder, kModelFile3));
}

/// The files of one kind by data-parallel rank. Throws for what only other layouts have.
std::map<int, std::string> optimizer_files(const std::string& folder) {
  std::map<int, std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const auto refuse = [&](const char* what) {
      throw Error(ErrorKind::kUnsupported,
                  fmt::format("{}: {}: checkpoints of {} are not read; convert it with DeepSpeed's ds_to_universal.py",
                              folder, printable(name), what));
    };
    if (name.starts_with("layer_")) refuse("DeepSpeed's pipelines");
    if (name.starts_with("expert_") || name.find("expp_rank") != std::string::npos) refuse("MoE layers");
    const std::size_t at = name.find("zero_pp_rank_");
    if (name.starts_with("mp_rank_") && name != kModelFile) refuse("several model-parallel ranks");
    if (at == std::string::npos || !name.ends_with("_optim_states.pt")) continue;
    int rank = -1, model_parallel = -1;
    if (std::sscanf(name.c_str() + at, "zero_pp_rank_%d_mp_rank_%d_", &rank, &model_parallel) != 2) continue;
    if (model_parallel != 0) refuse("several model-parallel ranks");
    files[rank] = entry.path().string();
  }
  return files;
}

std::vector<std::unique_ptr<TorchFile>> open_all(const std::map<int, std::string>& paths, const std::string& folder) {
  std::vector<std::unique_ptr<TorchFile>> files;
  for (const auto& [rank, path] : paths) {
    if (rank != static_cast<int>(files.size())) {
      throw Error(ErrorKind::kParse, fmt::format("{}: lacks the optimizer states of rank {}", folder, files.size()));
    }
    files.push_back(std::make_unique<TorchFile>(path));
  }
  return files;
}

void check_count(const std::vector<std::unique_ptr<TorchFile>>& files, const std::string& folder) {
  const PickleValue count = files.front()->root()["optimizer_state_dict"]["partition_count"];
  std::int64_t most = count.integer().value_or(0);
  for (std::size_t i = 0; i < (count.is(PickleNode::Kind::kList) ? count.size() : 0); ++i) {
    most = std::max(most, count[i].integer().value_or(0));
  }
  if (most == 0 || most == static_cast<std::int64_t>(files.size())) return;
  throw Error(ErrorKind::kParse,
              fmt::format("{}: has the optimizer states of {} ranks; {} wrote it", folder, files.size(), most));
}

/// Updates that the optimizer counted.
std::optional<double> applied_steps(const TorchFile& file) {
  const PickleValue root = file.root()["optimizer_state_dict"];
  for (const char* key : {"base_optimizer_state", "optimizer_state_dict"}) {
    if (const auto steps = deepspeed::optimizer_steps(root[key], file)) return steps;
  }
  if (const PickleValue step = root["base_optimizer_state_step"]) return file.number(step, "step");
  return std::nullopt;
}

RunPosition position_of(const TorchFile& model_states, std::optional<double> applied) {
  const PickleValue root = model_states.root();
  const auto count = [&](const char* key) { return root[key].integer().value_or(0); };
  RunPosition position{.steps = count("global_steps"), .sequences = count("global_samples")};
  if (position.steps < 0 || position.sequences < 0) model_states.fail("has a negative number of steps or samples");
  const double counted = applied.value_or(static_cast<double>(position.steps - count("skipped_steps")));
  const bool possible = counted >= 0 && counted <= 1e15 && counted == std::floor(counted);
  if (!possible) model_states.fail("has an impossible number of optimizer steps");
  position.applied = static_cast<std::int64_t>(counted);
  return position;
}

std::string model_states_of(const std::string& folder) {
  const std::string path = join_path(folder, kModelFile);
  return exists(path) ? path : join_path(folder, kModelFile3);
}

}  // namespace

std::optional<std::string> find_deepspeed(const std::string& path) {
  if (has_files(path)) return path;
  for (const char* pointer : {"latest_universal", "latest"}) {
    std::ifstream file(join_path(path, pointer));
    std::string tag;
    if (!(file >> tag) || tag.find('/') != std::string::npos) continue;
    if (has_files(join_path(path, tag))) return join_path(path, tag);
  }
  return std::nullopt;
}

DeepSpeedCheckpoint open_deepspeed(const std::string& folder, const ModelSpec& model, bool check_sums) {
  const TensorNames names(model);
  const TorchFile model_states(model_states_of(folder));
  if (check_sums) model_states.zip().check_sums();
  auto source = std::make_unique<RangeSource>(folder);
  std::optional<double> applied;
  if (is_universal(folder)) {
    applied = deepspeed::add_universal(*source, names, join_path(folder, "zero"), check_sums);
  } else {
    const std::vector<std::unique_ptr<TorchFile>> files = open_all(optimizer_files(folder), folder);
    for (const auto& file : files) {
      if (check_sums) file->zip().check_sums();
    }
    if (files.empty()) {
      deepspeed::add_module(*source, names, model_states);
    } else {
      check_count(files, folder);
      const bool stage3 = static_cast<bool>(files.front()->root()["optimizer_state_dict"]["fp32_flat_groups"]);
      (stage3 ? deepspeed::add_partitions : deepspeed::add_flat_groups)(*source, names, model_states, files);
      applied = applied_steps(*files.front());
    }
  }
  source->check_complete();
  return {std::move(source), position_of(model_states, applied)};
}

}  // namespace shardscope
