// A machine of known costs runs a job, its slices go through a profile, and the fit finds the costs again.
#include "simulator/calibrate/refit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/spec/job.h"
#include "profiler/query/list_runs.h"
#include "profiler/query/op_seconds.h"
#include "profiler/query/step_times.h"
#include "profiler/store/profile_writer.h"
#include "profiler/store/program_rows.h"
#include "profiler/store/test_profile.h"
#include "simulator/cost/host_costs.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

std::vector<Program> programs_of(int ranks, int stage, int seq = 32) {
  const std::string text = R"({"model": {"model_type": "llama", "vocab_size": 256, "hidden_size": 64,
      "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 256},
      "deepspeed": {"train_micro_batch_size_per_gpu": 2, "zero_optimization": {"stage": )" +
                           std::to_string(stage) + R"(}}, "parallel": {"dp": )" + std::to_string(ranks) +
                           R"(}, "data": {"seq_len": )" + std::to_string(seq) + "}}";
  std::vector<Program> programs;
  for (int r = 0; r < ranks; ++r) programs.push_back(lower(parse_job(text, "job.json", {}), r));
  return programs;
}

/// Every kind of op has costs of its own.
Machine planted_machine(int cores) {
  Machine machine = default_machine(cores);
  const auto scaled = [](const Curve& curve, double factor, double slope) {
    std::vector<CurvePoint> points;
    for (const CurvePoint& p : curve.points()) points.push_back({p.x, p.y * factor * std::pow(p.x / 1e5, slope)});
    return Curve(points);
  };
  for (FamilyCurve& f : machine.families) f.seconds = scaled(f.seconds, f.family == "adam" ? 4 : 2.5, 0.05);
  for (CollectiveCurve& c : machine.collectives) c.seconds = scaled(c.seconds, 3, -0.05);
  for (MatMulPoint& p : machine.matmuls) p.seconds *= 0.4;
  for (AttentionPoint& p : machine.attentions) p.seconds *= p.backward ? 5 : 2;
  return machine;
}

/// The slices of the run on `machine`, as they come out of a profile.
class Recorded {
 public:
  Recorded(const std::vector<Program>& programs, const Machine& machine, int steps = 5) {
    const std::string path = folder_.file("run.db");
    ProfileWriter writer(path, testing::tiny_run("planted"));
    simulate(programs, machine, {.sink = &writer, .steps = steps});
    writer.finish();
    EXPECT_EQ(writer.problem(), "");
    const Profile profile(path);
    for (const RankSeconds& rank : op_seconds(profile, find_run(profile, "planted").id)) {
      EXPECT_EQ(rank.program_hash, hash_of(op_records(programs[static_cast<std::size_t>(rank.rank)])));
      seconds.push_back(rank.seconds);
      quick.push_back(rank.quick_seconds);
    }
    step_s = step_times(profile, find_run(profile, "planted").id).median_s;
  }
  MeasuredRun run(const std::vector<Program>& programs) const {
    return {programs, seconds, "run planted", 0, quick, step_s};
  }
  std::vector<std::vector<double>> seconds, quick;
  double step_s = 0;

 private:
  testing::TempFolder folder_;
};

double error_of(const Machine& machine, const Machine& truth, const std::vector<Program>& programs) {
  return std::abs(simulate(programs, machine).step_time_s / simulate(programs, truth).step_time_s - 1);
}

TEST(Refit, FindsPlantedCostsAgain) {
  const Machine guess = default_machine(4), truth = planted_machine(4);
  const std::vector<Program> programs = programs_of(2, 2);
  const Recorded run(programs, truth);
  const Refit fitted = refit(guess, {programs, run.seconds, "run planted"});
  EXPECT_TRUE(fitted.machine.calibrated);
  EXPECT_GT(error_of(guess, truth, programs), 0.3);
  EXPECT_LT(error_of(fitted.machine, truth, programs), 0.02);
  ASSERT_GT(fitted.fits.size(), 8U);
  for (const ModelFit& fit : fitted.fits) {
    EXPECT_LT(fit.after.median, 0.05) << fit.model;
    EXPECT_LE(fit.after.median, fit.before.median + 0.01) << fit.model;
  }
  EXPECT_EQ(to_json(parse_machine(to_json(fitted.machine), "machine.json")), to_json(fitted.machine));
}

TEST(Refit, CarriesToSizesAndLayoutsThatWereNotSeen) {
  const Machine guess = default_machine(4), truth = planted_machine(4);
  const std::vector<Program> programs = programs_of(2, 2), longer = programs_of(2, 2, 128), more = programs_of(4, 2);
  const Recorded run(programs, truth);
  const Machine machine = refit(guess, {programs, run.seconds, "run planted"}).machine;
  for (const auto& other : {longer, more}) {
    EXPECT_GT(error_of(guess, truth, other), 0.2);
    EXPECT_LT(error_of(machine, truth, other), 0.1);
  }
}

TEST(Refit, TakesSharedCoresOut) {
  const Machine guess = default_machine(2), truth = planted_machine(2);
  const std::vector<Program> programs = programs_of(4, 1);  // twice as many ranks as cores
  const Recorded run(programs, truth);
  const Machine machine = refit(guess, {programs, run.seconds, "run planted"}).machine;
  EXPECT_LT(error_of(machine, truth, programs), 0.1);
  EXPECT_LT(error_of(machine, truth, programs_of(2, 1)), 0.2);
}

/// Ranks that outnumber the cores worse than the base thinks, and collectives that wait for them.
Machine crowded_machine(double capacity, double meeting_s) {
  Machine machine = planted_machine(2);
  machine.core_capacity = Curve({{2, 2}, {4, capacity}});
  machine.crowded_meeting = Curve({{2, meeting_s}, {4, meeting_s}});
  return machine;
}

TEST(Refit, AnUnchangedRunComesBack) {
  const Machine guess = default_machine(2), truth = crowded_machine(1.7, 2e-3);
  for (const int ranks : {1, 2, 4}) {
    for (const int stage : {0, 1, 2, 3}) {
      const std::vector<Program> programs = programs_of(ranks, stage);
      const Recorded run(programs, truth);
      const Refit fitted = refit(guess, run.run(programs));
      EXPECT_LT(error_of(fitted.machine, truth, programs), 0.02) << ranks << " ranks, stage " << stage;
      EXPECT_NEAR(fitted.scale, 1, 0.1) << ranks << " ranks, stage " << stage;
    }
  }
}

/// As ranks that take turns on the cores: a slice is mostly the op's own time, now and then that and others' turns.
struct TurnTaking {
  TurnTaking(const std::vector<Program>& programs, const Machine& truth) : recorded(programs, truth) {
    const HostCosts costs(truth, static_cast<int>(programs.size()));
    for (std::size_t rank = 0; rank < programs.size(); ++rank) {
      for (std::size_t op = 0; op < programs[rank].instructions.size(); ++op) {
        const Instruction& instruction = programs[rank].instructions[op];
        double& quick = recorded.quick[rank][op];
        if (quick > 0) quick = std::min(quick, costs.cost(programs[rank], instruction).seconds.total().value);
      }
    }
  }
  Recorded recorded;
};

TEST(Refit, FindsCostsAndCapacityWhereRanksTookTurns) {
  const Machine guess = default_machine(2), truth = crowded_machine(1.7, 1e-9);
  const std::vector<Program> programs = programs_of(4, 1), fewer = programs_of(2, 1);
  const TurnTaking run(programs, truth);
  const Refit fitted = refit(guess, run.recorded.run(programs));
  EXPECT_NEAR(fitted.capacity, 1.7, 0.05);
  EXPECT_LT(error_of(fitted.machine, truth, programs), 0.02);
  EXPECT_LT(error_of(fitted.machine, truth, fewer), 0.05) << "so the costs are an op's own";
}

TEST(Refit, WhatNoModelShowsIsAReportedScale) {
  const Machine guess = default_machine(2), truth = planted_machine(2);
  const std::vector<Program> programs = programs_of(2, 0);
  MeasuredRun run{};
  const Recorded recorded(programs, truth);
  run = recorded.run(programs);
  run.step_s *= 1.2;
  const Refit fitted = refit(guess, run);
  EXPECT_NEAR(simulate(programs, fitted.machine).step_time_s / run.step_s, 1, 0.005);
  EXPECT_NEAR(fitted.scale, 1.2, 0.05);
}

TEST(Refit, OutliersDoNotCount) {
  const Machine guess = default_machine(4), truth = planted_machine(4);
  const std::vector<Program> programs = programs_of(2, 2);
  Recorded run(programs, truth);
  for (std::size_t op = 0; op < run.seconds[0].size(); op += 3) run.seconds[0][op] *= 50;  // of one rank
  const Machine machine = refit(guess, {programs, run.seconds, "run planted"}).machine;
  EXPECT_LT(error_of(machine, truth, programs), 0.25);
}

TEST(Refit, KeepsWhatTheRunDidNotShow) {
  const Machine base = planted_machine(4);
  const std::vector<Program> programs = programs_of(2, 2);
  const Recorded run(programs, default_machine(4));
  const Machine machine = refit(base, {programs, run.seconds, "run planted"}).machine;
  const auto curve = [](const Machine& m, const std::string& family) {
    for (const FamilyCurve& f : m.families) {
      if (f.family == family) return f.seconds;
    }
    return Curve();
  };
  EXPECT_EQ(curve(machine, "layer_norm"), curve(base, "layer_norm"));  // llama has none
  EXPECT_NE(curve(machine, "rms_norm"), curve(base, "rms_norm"));
  EXPECT_EQ(machine.drive.read, base.drive.read);
  const auto asked = models_asked(programs_of(2, 3), machine);
  EXPECT_NE(std::find(asked.begin(), asked.end(), "all_gather, 2 ranks"), asked.end());
}

TEST(Refit, RefusesARunWithoutSlices) {
  const std::vector<Program> programs = programs_of(1, 0);
  const std::vector<std::vector<double>> nothing{std::vector<double>(programs[0].instructions.size())};
  EXPECT_THROW(refit(default_machine(2), {programs, nothing, "run empty"}), Error);
}

}  // namespace
}  // namespace shardscope
