// shardscope ops: what the device did for each op of the program, beside its prediction.

#include "profiler/query/op_device_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/run_json.h"
#include "cli/text_table.h"
#include "profiler/query/list_runs.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string path, run, against;
  int top = 20;
  bool json = false;
};

/// The two runs of a profile of `train` that tell the same ops' times: the newest of each kind.
struct Beside {
  std::optional<RunRow> measured, predicted;
};
Beside runs_beside(const Profile& profile) {
  Beside beside;
  for (const RunRow& run : list_runs(profile)) (run.predicted ? beside.predicted : beside.measured) = run;
  return beside;
}

std::string us(double seconds) { return fmt::format("{:.1f}", seconds * 1e6); }
std::string us(const std::optional<double>& seconds) { return seconds ? us(*seconds) : "-"; }
std::string error_of(const std::optional<double>& predicted, double device_s) {
  return predicted && device_s > 0 ? signed_percent(*predicted / device_s - 1) : "-";
}

void print(const DeviceWork& work, const Options& o) {
  TextTable kinds({"op", "ops", "on the device", "device us", "by events", "predicted", "error"});
  for (const KindDeviceWork& k : by_kind(work)) {
    kinds.add({k.kind, std::to_string(k.ops), std::to_string(k.work.count), us(k.device_s), us(k.measured_s),
               us(k.predicted_s), error_of(k.predicted_s, k.device_s)});
  }
  fmt::print("Kernels, copies and collectives by kind of op; us of one step, all ranks\n{}", kinds.text());

  std::vector<const OpDeviceWork*> ops;
  for (const OpDeviceWork& op : work.ops) ops.push_back(&op);
  const auto missed = [](const OpDeviceWork& op) {
    return op.predicted_s ? std::abs(*op.predicted_s - op.device_s) : op.device_s;
  };
  std::stable_sort(ops.begin(), ops.end(),
                   [&](const OpDeviceWork* a, const OpDeviceWork* b) { return missed(*a) > missed(*b); });
  if (o.top > 0 && ops.size() > static_cast<std::size_t>(o.top)) ops.resize(static_cast<std::size_t>(o.top));
  TextTable table({"op", "name", "rank", "times", "launches", "device us", "by events", "predicted", "error"}, 2);
  for (const OpDeviceWork* op : ops) {
    table.add({fmt::format("{} {}", op->op, op->kind), op->name, std::to_string(op->rank),
               std::to_string(op->executions), std::to_string(op->work.count / op->executions), us(op->device_s),
               us(op->measured_s), us(op->predicted_s), error_of(op->predicted_s, op->device_s)});
  }
  fmt::print("\nOps whose prediction misses most (without one: the longest); us of one execution, its median\n{}",
             table.text());
  fmt::print("\nOf no op: {} of {}, {} of {} ms\n", work.of_no_op.count, work.all.count,
             milliseconds(work.of_no_op.total_s), milliseconds(work.all.total_s));
}

nlohmann::json or_null(const std::optional<double>& value) { return value ? nlohmann::json(*value) : nlohmann::json(); }

nlohmann::json json_of(const WorkOnDevice& work) { return {{"count", work.count}, {"total_s", work.total_s}}; }

nlohmann::json json_of(const DeviceWork& work, const RunRow& run, const Options& o) {
  nlohmann::json ops = nlohmann::json::array();
  for (const OpDeviceWork& op : work.ops) {
    ops.push_back({{"rank", op.rank},
                   {"op", op.op},
                   {"kind", op.kind},
                   {"name", op.name},
                   {"executions", op.executions},
                   {"work", json_of(op.work)},
                   {"device_s", op.device_s},
                   {"by_events_s", or_null(op.measured_s)},
                   {"predicted_s", or_null(op.predicted_s)}});
  }
  return {{"profile", o.path},        {"run", run.id},
          {"name", run.name},         {"ops", std::move(ops)},
          {"all", json_of(work.all)}, {"of_no_op", json_of(work.of_no_op)}};
}

void run(const Options& o) {
  const Profile profile(o.path);
  const RunRow run = find_run_or_first(profile, o.run);
  DeviceWork work = op_device_work(profile, run.id);
  if (!o.against.empty()) {
    const Profile other(o.against);
    const Beside beside = runs_beside(other);
    if (!beside.measured && !beside.predicted)
      throw Error(ErrorKind::kConfig, fmt::format("--against {}: holds no run", o.against));
    if (beside.measured) set_beside(work, other, beside.measured->id, &OpDeviceWork::measured_s);
    if (beside.predicted) set_beside(work, other, beside.predicted->id, &OpDeviceWork::predicted_s);
  }
  if (o.json) {
    fmt::print("{}", to_line(json_of(work, run, o)));
  } else {
    print(work, o);
  }
}

}  // namespace

void add_ops(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("ops", "Show what a GPU did for each op of our program, beside its prediction.");
  command
      ->add_option("profile", options->path, "The profile that `shardscope record` made of a run with --backend cuda")
      ->required()
      ->type_name("RUN.db");
  command->add_option("--run", options->run, "The run, by number or name; else the first measured one")
      ->type_name("N|NAME");
  command
      ->add_option("--against", options->against,
                   "The profile that the recorded `train` wrote (--profile): its predictions, and its times by events")
      ->type_name("TRAIN.db");
  command->add_option("--top", options->top, "Ops to list; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object: ops, all, of_no_op");
  command->footer(
      "How kernels are joined with ops: docs/cuda.md. In SQL: the view op_device_work.\n"
      "Examples:\n"
      "  shardscope record -o kernels.db -- shardscope train job.json --backend cuda --profile train.db\n"
      "  shardscope ops kernels.db --against train.db\n"
      "  shardscope ops kernels.db --json");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
