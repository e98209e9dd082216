// shardscope plan --fit: which ZeRO stage and offload, on the GPUs that are there.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/plan.h"
#include "cli/text_table.h"
#include "core/error.h"
#include "core/spec/model_catalog.h"
#include "simulator/planner/fit.h"

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Columns of the table: terms of memory taken together.
struct Column {
  const char* name;
  std::vector<MemoryTerm> terms;
};
const std::vector<Column>& columns() {
  using M = MemoryTerm;
  static const std::vector<Column> kColumns{
      {"params", {M::kParameters, M::kGathered}},
      {"grads", {M::kGradients, M::kBuckets}},
      {"optim", {M::kOptimizer}},
      {"activ", {M::kActivations, M::kRecomputed, M::kLogits}},
      {"other", {M::kWorkspace, M::kContext, M::kCollectives, M::kFragmentation}}};
  return kColumns;
}

class Fit {
 public:
  explicit Fit(const PlanOptions& options) : options_(options), catalog_(plan_catalog(options)) {
    const std::vector<GpuChoice> choices = gpu_choices(options, catalog_);
    if (choices.size() != 1 || choices[0].count == 0) {
      throw Error(ErrorKind::kConfig, "--fit wants one --gpus SYSTEM:N, as dgx-a100:8");
    }
    gpus_ = choices[0].count;
    candidate_.workload.model = open_model(options.model);
    candidate_.workload.seq = options.seq > 0 ? options.seq : default_seq(candidate_.workload.model);
    candidate_.workload.expert_imbalance = options.expert_imbalance;
    check_model(options, candidate_.workload.model, candidate_.workload.seq);
    const std::vector<std::string> precisions = split_list(options.precision);
    if (precisions.size() != 1) throw Error(ErrorKind::kConfig, "--fit wants one --precision");
    candidate_.workload.arithmetic = trained_arithmetic(precisions[0]);
    candidate_.target = target_of(catalog_, *choices[0].system);
    // The stages are DeepSpeed's; the list that a search goes through means nothing here.
    const bool one = options.framework.find(',') == std::string::npos;
    candidate_.framework = find_framework(default_frameworks(), one ? options.framework : "deepspeed");
    candidate_.framework = in_precision(candidate_.framework, candidate_.workload.arithmetic);
    candidate_.limits = limits_of(candidate_.framework);
    batch_ = options.global_batch > 0 ? options.global_batch : default_batch();
    if (batch_ % gpus_ != 0) {
      throw Error(ErrorKind::kConfig, fmt::format("--global-batch {}: {} GPUs cannot share it evenly; try {}", batch_,
                                                  gpus_, (batch_ / gpus_ + 1) * gpus_));
    }
    table_ = fit(candidate_, gpus_, batch_);
  }

  void run() const { fmt::print("{}", options_.json ? json() : text()); }

 private:
  /// GPT-3's, to the next that the GPUs share.
  std::int64_t default_batch() const {
    const std::int64_t wanted = default_global_batch(candidate_.workload.model, candidate_.workload.seq);
    return std::max<std::int64_t>(wanted / gpus_, 1) * gpus_;
  }

  double limit() const { return candidate_.target.gpu.memory.value; }

  static double sum(const Estimate& e, const Column& column) {
    double bytes = 0;
    for (const MemoryTerm term : column.terms) bytes += e[term];
    return bytes;
  }

  std::string text() const {
    const ModelSpec& m = candidate_.workload.model;
    std::string out =
        fmt::format("{}: {:.2f} B parameters on {} x {} ({:.1f} GB each), {} sequences of {} a step, {}\n\n",
                    options_.model, static_cast<double>(parameter_count(m)) / 1e9, gpus_, candidate_.target.gpu.title,
                    limit() / 1e9, batch_, candidate_.workload.seq, candidate_.framework.name);
    std::vector<std::string> head{"ZeRO", "offload", "recompute", "micro"};
    for (const Column& c : columns()) head.emplace_back(c.name);
    for (const char* name : {"GPU GB", "host GB", "NVMe GB", "step s", ""}) head.emplace_back(name);
    TextTable table(head, 3);
    for (std::size_t i = 0; i < table_.rows.size(); ++i) table.add(cells(i));
    return out + table.text() + verdict();
  }

  std::vector<std::string> cells(std::size_t i) const {
    const FitRow& r = table_.rows[i];
    std::vector<std::string> cells{fmt::format("{}", r.plan.zero), std::string(to_string(r.plan.offload)),
                                   std::string(to_string(r.plan.recompute)), fmt::format("{}", r.plan.micro_batch)};
    for (const Column& c : columns()) cells.push_back(fmt::format("{:.1f}", sum(r.estimate, c) / 1e9));
    cells.push_back(fmt::format("{:.1f}", r.estimate.used / 1e9));
    cells.push_back(fmt::format("{:.1f}", r.estimate.host_bytes / 1e9));
    cells.push_back(fmt::format("{:.1f}", r.estimate.nvme_bytes / 1e9));
    cells.push_back(r.fits ? fmt::format("{:.3f}", r.estimate.step_time_s) : "-");
    cells.push_back(table_.recommended == i ? "<- recommended" : r.problem);
    return cells;
  }

  std::string verdict() const {
    if (table_.recommended) {
      const FitRow& r = table_.rows[*table_.recommended];
      return fmt::format(
          "\nZeRO {}{}, micro-batch {}, recompute {}: {}. GB are 1e9 bytes of the fullest rank at its fullest; where "
          "that "
          "is the update, no activations are left and copies of gradients are in \"other\", as NCCL and the context "
          "are.\n",
          r.plan.zero,
          r.plan.offload == Offload::kNone ? std::string() : fmt::format(" with {}", to_string(r.plan.offload)),
          r.plan.micro_batch, to_string(r.plan.recompute), table_.why);
    }
    std::string out = "\nNothing fits with data parallelism alone. What would:\n";
    for (const std::string& a : table_.advice) out += "  " + a + "\n";
    return table_.advice.empty() ? "\nNothing fits, nor do larger clusters, other layouts or shorter sequences.\n"
                                 : out;
  }

  std::string json() const {
    Json json{{"model", options_.model},
              {"gpu", candidate_.target.gpu.name},
              {"gpus", gpus_},
              {"memory_limit_gb", limit() / 1e9},
              {"rows", Json::array()}};
    for (const FitRow& r : table_.rows) {
      Json row = plan_case_json({options_.model, candidate_.workload, candidate_.target, candidate_.framework, r.plan});
      row["fits"] = r.fits;
      row["problem"] = r.problem.empty() ? Json(nullptr) : Json(r.problem);
      row["step_time_s"] = r.estimate.step_time_s;
      row["peak_gb"] = r.estimate.used / 1e9;
      row["headroom_gb"] = (limit() - r.estimate.used) / 1e9;
      row["host_gb"] = r.estimate.host_bytes / 1e9, row["nvme_gb"] = r.estimate.nvme_bytes / 1e9;
      for (int i = 0; i < kMemoryTerms; ++i) {
        const auto term = static_cast<MemoryTerm>(i);
        row["memory_gb"][std::string(to_string(term))] = r.estimate[term] / 1e9;
      }
      json["rows"].push_back(row);
    }
    json["recommended"] = table_.recommended ? Json(*table_.recommended) : Json(nullptr);
    json["why"] = table_.why;
    json["advice"] = table_.advice;
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }

  const PlanOptions& options_;
  HardwareCatalog catalog_;
  Candidate candidate_;
  int gpus_ = 1;
  std::int64_t batch_ = 1;
  FitTable table_;
};

}  // namespace

void run_fit(const PlanOptions& options) { Fit(options).run(); }

}  // namespace shardscope::cli
