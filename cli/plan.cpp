// shardscope plan: which GPUs, how many, and how to train on them.

#include "cli/plan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <memory>

#include "cli/command.h"
#include "core/spec/json_tree.h"
#include "core/spec/model_catalog.h"
#include "simulator/analytic/gpu_model.h"
#include "simulator/planner/files.h"
#include "simulator/planner/intervals.h"

namespace shardscope::cli {
namespace {

/// Without a wish: the cheapest, or the fastest that a budget allows.
Objective objective_of(const PlanOptions& options) {
  const std::string& name = options.objective;
  if (name.empty()) return options.budget.empty() || !options.deadline.empty() ? Objective::kCost : Objective::kTime;
  for (const Objective o : {Objective::kCost, Objective::kTime, Objective::kEnergy}) {
    if (to_string(o) == name) return o;
  }
  throw Error(ErrorKind::kConfig, fmt::format("--objective {}: it must be cost, time or energy", printable(name)));
}

/// "1B:256": over so many tokens, from so many sequences.
void read_warmup(const PlanOptions& options, RunOptions& run) {
  if (options.warmup.empty()) return;
  const std::size_t colon = options.warmup.find(':');
  if (colon == std::string::npos) {
    throw Error(ErrorKind::kConfig,
                fmt::format("--warmup {}: it must be TOKENS:SEQUENCES, as 4B:32", printable(options.warmup)));
  }
  run.warmup_tokens = parse_amount("--warmup", options.warmup.substr(0, colon), "4B:32");
  run.warmup_batch = static_cast<std::int64_t>(parse_amount("--warmup", options.warmup.substr(colon + 1), "4B:32"));
}

class PlanCommand {
 public:
  explicit PlanCommand(const PlanOptions& options) : options_(options), catalog_(plan_catalog(options)) {
    if (options.tokens.empty()) throw Error(ErrorKind::kConfig, "--tokens is missing: how long to train, as 300B");
    workload_.model = open_model(options.model);
    workload_.seq = options.seq > 0 ? options.seq : default_seq(workload_.model);
    workload_.expert_imbalance = options.expert_imbalance;
    check_model(options, workload_.model, workload_.seq);
    run_ = options.run;
    run_.tokens = parse_amount("--tokens", options.tokens, "300B");
    read_warmup(options, run_);
    if (!options.deadline.empty()) wishes_.deadline_days = parse_days("--deadline", options.deadline);
    if (!options.budget.empty()) wishes_.budget_usd = parse_amount("--budget", options.budget, "250K");
    request_.global_batch =
        options.global_batch > 0 ? options.global_batch : default_global_batch(workload_.model, workload_.seq);
    if (const auto step = static_cast<double>(request_.global_batch * workload_.seq); run_.tokens < step) {
      throw Error(ErrorKind::kConfig,
                  fmt::format("--tokens {}: a step alone takes {:g}, {} sequences of {}", printable(options.tokens),
                              step, request_.global_batch, workload_.seq));
    }
    request_.max_gpus = options.max_gpus;
    request_.threads = options.threads;
    objective_ = objective_of(options);
    add_candidates();
  }

  void run() {
    if (isatty(STDERR_FILENO) != 0) request_.progress = show_progress;
    const SearchResult found = search(request_);
    if (request_.progress) fmt::print(stderr, "\r\x1b[K");
    if (const std::string why = find_conflict(request_, found, wishes_); !why.empty())
      throw Error(ErrorKind::kConfig, why);
    PlanReport report = report_of(found);
    write(report);
    fmt::print("{}", options_.json ? plan_json(report) : options_.csv ? plan_csv(report) : plan_text(report));
  }

 private:
  static bool show_progress(const SearchProgress& p) {
    fmt::print(stderr, "\r\x1b[Ksearching: {:.0f} %, {:.1f} M plans", 100 * p.done,
               static_cast<double>(p.searched) / 1e6);
    return true;
  }

  void add_candidates() {
    for (const GpuChoice& choice : gpu_choices(options_, catalog_)) {
      for (const std::string& precision : split_list(options_.precision)) {
        for (const std::string& name : split_list(options_.framework)) add_candidate(choice, precision, name);
      }
    }
    if (request_.candidates.empty()) {
      throw Error(ErrorKind::kConfig,
                  fmt::format("--precision {}: none of the GPUs computes in it", printable(options_.precision)));
    }
  }

  void add_candidate(const GpuChoice& choice, const std::string& precision, const std::string& framework) {
    Candidate c{.workload = workload_,
                .target = target_of(catalog_, *choice.system),
                .framework = find_framework(default_frameworks(), framework)};
    c.workload.arithmetic = trained_arithmetic(precision);
    c.framework = in_precision(c.framework, c.workload.arithmetic);
    if (c.target.gpu.peak[static_cast<std::size_t>(c.workload.arithmetic)].value <= 0) return;
    c.limits = limits_of(c.framework);
    c.run = run_;
    c.run.usd_per_gpu_hour = price_of(options_, catalog_, *choice.system);
    if (choice.count > 0) c.counts = {choice.count};
    request_.candidates.push_back(std::move(c));
  }

  PlanReport report_of(const SearchResult& found) const {
    PlanReport report{.model = options_.model, .tokens = run_.tokens};
    report.parameters = static_cast<double>(parameter_count(workload_.model));
    report.seq = workload_.seq;
    report.global_batch = request_.global_batch;
    report.objective = objective_;
    report.searched = found.searched, report.estimated = found.estimated, report.seconds = found.seconds;
    const std::vector<PlanPoint> kept = keep(found.pareto, wishes_);
    for (const PlanPoint& p : kept) report.points.push_back(describe_point(p));
    for (const Objective o : {Objective::kCost, Objective::kTime, Objective::kEnergy}) {
      const auto place = static_cast<std::size_t>(best_point(kept, o) - kept.data());
      report.points[place].best.emplace_back(to_string(o));
    }
    report.recommended = static_cast<std::size_t>(recommended_point(kept, objective_) - kept.data());
    return report;
  }

  ReportedPoint describe_point(const PlanPoint& p) const {
    const Candidate& c = request_.candidates[p.candidate];
    ReportedPoint r{.point = p, .plan_case = {options_.model, c.workload, c.target, c.framework, p.plan}};
    r.relief = find_relief(c.workload, c.target, c.framework, p.plan);
    const IntervalRow& interval = find_interval(default_intervals(), c.framework.name, p.plan.gpus);
    r.low_s = p.estimate.step_time_s * interval.from(), r.high_s = p.estimate.step_time_s * interval.to();
    r.median_s = p.estimate.step_time_s * interval.median;
    r.interval_source = interval.source;
    const double tokens = static_cast<double>(p.plan.global_batch) * static_cast<double>(c.workload.seq);
    const double peak = GpuModel(c.target.gpu, {}).mfu_peak(c.workload.arithmetic);
    r.mfu = training_flops_per_token(c.workload.model, c.workload.seq) * tokens / p.estimate.step_time_s /
            (peak * p.plan.gpus);
    return r;
  }

  void write(PlanReport& report) const {
    if (!options_.out.empty()) {
      for (std::size_t i = 0; i < report.points.size(); ++i) {
        ReportedPoint& r = report.points[i];
        r.folder = fmt::format("{}/{:02}-{}-{}", options_.out, i + 1, r.plan_case.target.gpu.name, r.point.plan.gpus);
        write_files(r.folder, plan_files(r.plan_case, report.tokens));
      }
    }
    if (!options_.html.empty()) write_text(options_.html, plan_html(report));
  }

  const PlanOptions& options_;
  HardwareCatalog catalog_;
  Workload workload_;
  RunOptions run_;
  Wishes wishes_;
  SearchRequest request_;
  Objective objective_ = Objective::kCost;
};

void add_search_options(CLI::App& c, PlanOptions& o) {
  c.add_option("--model", o.model, "A name of the catalog (llama-3-8b), or a Hugging Face config.json")->required();
  c.add_option("--tokens", o.tokens, "Tokens to train on: 300B, 15T")->type_name("TOKENS");
  c.add_option("--deadline", o.deadline, "At most so long: 30d, 12h, 6w")->type_name("TIME");
  c.add_option("--budget", o.budget, "At most so many USD: 250K, 1.5M")->type_name("USD");
  c.add_option("--gpus", o.gpus, "Kinds of GPUs or systems, each with a fixed count if one is given (dgx-h100:64)")
      ->type_name("LIST")
      ->capture_default_str();
  c.add_option("--max-gpus", o.max_gpus, "Most GPUs; every number of nodes to 32 is tried, then steps of 1/16")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  c.add_option("--seq", o.seq, "Tokens of a sequence; the model's positions, at most 8192, without it")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24));
  c.add_option("--global-batch", o.global_batch, "Sequences of a step; GPT-3's by size without it")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24));
  c.add_option("--objective", o.objective,
               "cost, time or energy: which point is recommended; cost, or time with only a --budget");
  c.add_option("--framework", o.framework, "Frameworks to plan for")->type_name("LIST")->capture_default_str();
  c.add_option("--precision", o.precision, "Of matrix products: bf16, fp8, ...; several are compared")
      ->type_name("LIST")
      ->capture_default_str();
  c.add_option("--expert-imbalance", o.expert_imbalance,
               "Mixture of experts: tokens of the fullest rank over the mean; 1: routed evenly")
      ->type_name("FACTOR")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e3));
  c.add_option("--threads", o.threads, "Of the search")->capture_default_str()->check(CLI::Range(1, 256));
}

void add_run_options(CLI::App& c, PlanOptions& o) {
  c.add_flag("--reserved", o.reserved, "Prices of reserved GPUs instead of on-demand");
  c.add_option("--price", o.prices, "USD per GPU hour: h100-sxm=2.1; may be given again")
      ->type_name("GPU=USD")
      ->allow_extra_args(false);
  c.add_option("--hardware", o.hardware, "A file of the form of data/hardware laid over the catalog")
      ->type_name("FILE.json");
  c.add_option("--pue", o.run.pue, "Facility's power over the machines'")
      ->capture_default_str()
      ->check(in_range(1.0, 10.0));
  c.add_option("--co2", o.run.co2_g_per_kwh, "Grams of CO2 per kWh")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  c.add_option("--mtbf-hours", o.run.gpu_mtbf_hours, "Mean time between failures of one GPU")
      ->capture_default_str()
      ->check(in_range(1.0, 1e12));
  c.add_option_function<double>(
       "--restart-minutes", [&o](double minutes) { o.run.restart_s = minutes * 60; },
       "From a failure to training again (default 10)")
      ->check(in_range(0.0, 1e5));
  c.add_option("--checkpoint-gb-per-s", o.run.checkpoint_gb_per_s_per_node, "Of each node to storage")
      ->capture_default_str()
      ->check(in_range(1e-6, 1e6));
  c.add_option("--jitter", o.run.jitter, "Standard deviation of a rank's step time over its mean")
      ->capture_default_str()
      ->check(in_range(0.0, 1.0));
  c.add_option("--warmup", o.warmup, "The batch grows over TOKENS from SEQUENCES: 4B:32")
      ->type_name("TOKENS:SEQUENCES");
}

void add_output_options(CLI::App& c, PlanOptions& o) {
  c.add_flag("--json", o.json, "One JSON object (docs/planner.md)");
  c.add_flag("--csv", o.csv, "The front as CSV")->excludes("--json");
  c.add_option("--html", o.html, "Also a report with plots, in one file")->type_name("REPORT.html");
  c.add_option("--out", o.out, "Also a folder per point with its configuration files")->type_name("DIR");
  c.add_flag("--fit", o.fit, "Which ZeRO stage and offload on --gpus SYSTEM:N? One table");
  auto* serve = c.add_flag("--serve", o.serve, "GPUs that answer requests instead of training")->excludes("--fit");
  c.add_option("--prompt-tokens", o.prompt, "--serve: tokens of a request")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->needs(serve);
  c.add_option("--output-tokens", o.output, "--serve: tokens of an answer")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->needs(serve);
  c.add_option("--rps", o.rps, "--serve: requests a second")->check(in_range(1e-6, 1e9))->needs(serve);
  c.add_option("--latency", o.latency_ms, "--serve: of a whole answer, at most: 15000 (milliseconds), 15s")
      ->type_name("MS")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"ms", 1}, {"s", 1e3}},
                                        CLI::AsNumberWithUnit::CASE_SENSITIVE))
      ->check(in_range(1e-3, 1e12))
      ->needs(serve);
}

/// What a form of the command does not read: refused, as nothing would come of it.
void refuse_unread(const CLI::App& command, const char* form, std::initializer_list<const char*> unread) {
  for (const char* name : unread) {
    if (command.get_option(name)->count() > 0)
      throw Error(ErrorKind::kConfig, fmt::format("{} changes nothing with {}: leave it out", name, form));
  }
}

void run_form(const CLI::App& command, const PlanOptions& options) {
  if (options.fit) {
    refuse_unread(
        command, "--fit",
        {"--deadline", "--budget", "--max-gpus", "--objective", "--reserved", "--price", "--warmup", "--pue", "--co2",
         "--mtbf-hours", "--restart-minutes", "--checkpoint-gb-per-s", "--jitter", "--csv", "--html", "--out"});
    return run_fit(options);
  }
  if (options.serve) {
    refuse_unread(command, "--serve",
                  {"--tokens", "--deadline", "--budget", "--seq", "--global-batch", "--objective", "--framework",
                   "--expert-imbalance", "--warmup", "--pue", "--co2", "--mtbf-hours", "--restart-minutes",
                   "--checkpoint-gb-per-s", "--jitter", "--out"});
    return run_serve(options);
  }
  PlanCommand(options).run();
}

}  // namespace

void add_plan(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "Which GPUs, how many, and how to train on them: time, cost, memory.");
  add_search_options(*command, *options);
  add_run_options(*command, *options);
  add_output_options(*command, *options);
  command->footer(
      "Searches every legal mix of dp, tp, pp, vpp, cp, ep, sp, ZeRO stage, shard group, offload, micro-batch and\n"
      "recomputation, and prints those that nothing beats in days, cost, energy and headroom (docs/planner.md).\n"
      "P10-P90 of a step is what published runs of the framework and size took over what was predicted for them; "
      "where\n"
      "nearly all were slower (or faster), it begins (or ends) at the prediction, and the median says by how much.\n"
      "Examples:\n"
      "  shardscope plan --model llama-3-8b --tokens 1T --deadline 30d --gpus h100-sxm,b200 --max-gpus 1024\n"
      "  shardscope plan --model llama-2-70b --tokens 2T --budget 3M --objective time --html report.html --out plans\n"
      "  shardscope plan --fit --model llama-2-13b --gpus dgx-a100:8\n"
      "  shardscope plan --serve --model llama-3-70b --prompt-tokens 2000 --output-tokens 300 --rps 20 --latency "
      "15000\n");
  command->callback([options, command, &exit_code] {
    run_form(*command, *options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
