#include "core/program/lower.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "core/error.h"
#include "core/program/passes/draft.h"
#include "core/program/text.h"
#include "core/program/verify.h"

namespace shardscope {
namespace {

struct Pass {
  const char* name;
  void (*run)(Draft&);
  bool required;  ///< later passes or the interpreters rely on it, so it cannot be skipped
};

// The whole of lowering, in order.
constexpr std::array kPasses{
    Pass{"stages", pass_stages, true},  // checks the mix; groups and coordinates of this rank
    Pass{"layers", pass_layers, true},  // micro-batches, layers to ops, hand-derived backward; whole parameters
    Pass{"recompute", pass_recompute,
         false},  // blocks forget and compute again; before zero, which shards the second use too
    Pass{"kept_inputs", pass_kept_inputs,
         false},                    // parted, to the host; after recompute, whose groups come back one after the other
    Pass{"zero", pass_zero, true},  // flat storage, shards, gathers, reductions, prefetch
    Pass{"optimizer", pass_optimizer,
         true},                           // norm, clipping, Adam on the shards that zero left, refresh of parameters
    Pass{"offload", pass_offload, true},  // optimizer state and step to the host; moves what optimizer emitted
    Pass{"offload_param", pass_offload_param,
         true},  // shards to host or drive; after offload, which decides where they are updated
    Pass{"swap_optimizer", pass_swap_optimizer,
         true},  // state to the drive in sub-groups; splits what offload moved to the host
    Pass{"fold_fills", pass_fold_fills,
         false},                              // zero-then-add becomes write; after zero, which decides what starts at 0
    Pass{"lifetimes", pass_lifetimes, true},  // Alloc, Free and addresses; after everything that touches buffers
    Pass{"order", pass_order, true},          // cross-lane dependencies, from addresses; so after lifetimes
};

bool is_listed(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void check_names(const LowerOptions& options) {
  const std::vector<std::string> known = pass_names();
  std::vector<std::string> asked = options.skip;
  if (!options.until.empty()) asked.push_back(options.until);
  for (const std::string& name : asked) {
    if (!is_listed(known, name)) {
      throw Error(ErrorKind::kConfig,
                  fmt::format("no pass is named '{}'; passes are {}", name, fmt::join(known, ", ")));
    }
  }
  for (const Pass& pass : kPasses) {
    if (pass.required && is_listed(options.skip, pass.name)) {
      throw Error(ErrorKind::kConfig, fmt::format("pass '{}' cannot be skipped: what follows relies on it", pass.name));
    }
  }
}

/// Runs one pass and notes what it did.
void run_pass(const Pass& pass, Draft& draft, std::vector<PassRecord>* log) {
  if (log == nullptr) return pass.run(draft);
  const std::string before = to_string(draft.program);
  const auto start = std::chrono::steady_clock::now();
  pass.run(draft);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  log->push_back({pass.name, elapsed.count(), draft.program.instructions.size(), to_string(draft.program) != before});
}

}  // namespace

Program lower(const Job& job, int rank, const LowerOptions& options) {
  check_names(options);
  Draft draft;
  draft.job = &job;
  draft.rank = rank;
  draft.micro_batches = options.micro_batches;
  for (const Pass& pass : kPasses) {
    if (!is_listed(options.skip, pass.name)) run_pass(pass, draft, options.log);
    if (pass.name == options.until) return std::move(draft.program);
  }
  if (options.verify) verify(draft.program, "lower()");
  return std::move(draft.program);
}

std::vector<std::string> pass_names() {
  std::vector<std::string> names;
  for (const Pass& pass : kPasses) names.emplace_back(pass.name);
  return names;
}

}  // namespace shardscope
