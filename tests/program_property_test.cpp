// What holds for the program of every legal job, before anything runs.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "core/program/lower.h"
#include "core/program/parameter_runs.h"
#include "core/program/text.h"
#include "core/program/verify.h"
#include "tests/random_job.h"

namespace shardscope {
namespace {

std::vector<Program> lower_all(const Job& job) {
  std::vector<Program> ranks;
  for (int r = 0; r < job.parallel.ranks(); ++r) ranks.push_back(lower(job, r));
  return ranks;
}

RC_GTEST_PROP(ProgramProperty, EveryJobLowersToSoundMatchingPrograms, ()) {
  JobChoice choice = *gen_job();
  choice.quantized_weights = *rc::gen::inRange(0, 2);
  choice.quantized_gradients = *rc::gen::inRange(0, 2);
  const std::vector<Program> ranks = lower_all(job_of(choice));
  for (const Program& program : ranks) {
    const std::vector<std::string> faults = find_faults(program);
    if (!faults.empty()) RC_FAIL(faults.front());
  }
  const std::vector<std::string> faults = find_mismatches(ranks);
  if (!faults.empty()) RC_FAIL(faults.front());
}

RC_GTEST_PROP(ProgramProperty, EveryProgramSurvivesItsText, ()) {
  const Program program = lower(job_of(*gen_job()), 0);
  RC_ASSERT(parse_program(to_string(program)) == program);
}

/// The parameter that both ends of the pipeline hold, if any.
std::string tied_name(const std::vector<Program>& ranks) {
  for (const Group& group : ranks.front().groups) {
    if (group.name == "tied") return ranks.front().parameters.front().name;
  }
  return "";
}

RC_GTEST_PROP(ProgramProperty, TheRanksTogetherOwnEveryElementOnce, ()) {
  const JobChoice choice = *gen_job();
  const std::vector<Program> ranks = lower_all(job_of(choice));
  const auto dp = static_cast<std::size_t>(choice.dp * choice.cp);
  const std::int64_t shard_size = job_of(choice).training.zero.mics_shard_size;
  // moments: whole on every rank, or one copy over all of them, or (MiCS) one copy in each shard group
  const std::size_t copies =
      choice.stage == 0 || dp == 1 ? dp : (shard_size > 0 ? dp / static_cast<std::size_t>(shard_size) : 1);
  const std::size_t expert_copies = choice.stage == 0 ? dp / static_cast<std::size_t>(choice.ep) : copies;
  for (StateRole role : {StateRole::kExpAvg, StateRole::kExpAvgSq}) {
    std::map<std::string, std::vector<std::size_t>> owners;
    std::set<std::string> split;
    for (const Program& program : ranks) {
      for (const Parameter& p : program.parameters) {
        owners[p.name].resize(static_cast<std::size_t>(p.elements()));
        if (p.slice.parts > 1) split.insert(p.name);
      }
      for (const StatePiece& piece : program.state) {
        if (piece.role != role) continue;
        const Parameter& parameter = program.parameters[static_cast<std::size_t>(piece.parameter)];
        auto& of = owners.at(parameter.name);
        for_each_run(parameter, piece.begin, piece.home.count, [&](std::int64_t, std::int64_t whole, std::int64_t n) {
          for (std::int64_t i = 0; i < n; ++i) ++of[static_cast<std::size_t>(whole + i)];
        });
      }
    }
    std::int64_t elements = 0;
    for (const auto& [name, parameter] : owners) {
      elements += static_cast<std::int64_t>(parameter.size());
      const std::size_t tied = choice.pp > 1 && name == tied_name(ranks) ? 2 : 1;
      const std::size_t whole = split.contains(name) ? 1 : static_cast<std::size_t>(choice.tp);
      const std::size_t held = name.find(".experts.") == std::string::npos ? copies : expert_copies;
      for (std::size_t owned : parameter) RC_ASSERT(owned == tied * whole * held);
    }
    RC_ASSERT(elements == parameter_count(job_of(choice).model));
  }
}

/// Skipping the one optional pass changes the program, not what is wrong with it: nothing.
RC_GTEST_PROP(ProgramProperty, SoundWithoutTheOptionalPass, ()) {
  const Program program = lower(job_of(*gen_job()), 0, {.skip = {"fold_fills"}});
  const std::vector<std::string> faults = find_faults(program);
  if (!faults.empty()) RC_FAIL(faults.front());
}

}  // namespace
}  // namespace shardscope
