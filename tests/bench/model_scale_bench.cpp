// How large a model trains inside a device of 1 GiB? For each ZeRO stage and offload choice: the largest number of
// layers whose predicted peak fits, then the proof: that model is trained for two steps under the limit, and the same
// model with one more layer must be refused for want of memory.
//
//   ./dev bench model_scale [--device-mib 1024] [--most-layers 48] [--nvme FOLDER] [--only TEXT]

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/engine/trainer.h"
#include "core/error.h"
#include "core/program/lower.h"
#include "kernels/cpu/cpu_backend.h"

namespace shardscope {
namespace {

struct Choice {
  std::string name;
  std::string zero;   ///< of "zero_optimization", without its braces
  std::string extra;  ///< further keys of the DeepSpeed configuration
};

struct Options {
  std::int64_t device_bytes = std::int64_t{1} << 30;
  int most_layers = 48;
  std::string nvme = std::filesystem::temp_directory_path().string(), only;
};

std::vector<Choice> choices(const std::string& nvme) {
  const std::string no_resident = R"(,"stage3_param_persistence_threshold":0)";
  const std::string cpu = R"(,"offload_optimizer":{"device":"cpu"})",
                    param_cpu = R"(,"offload_param":{"device":"cpu"})";
  const std::string drive = fmt::format(
      R"(,"offload_optimizer":{{"device":"nvme","nvme_path":"{0}","pipeline_read":true,"pipeline_write":true}},)"
      R"("offload_param":{{"device":"nvme","nvme_path":"{0}"}},"sub_group_size":20000000)",
      nvme);
  const std::string bf16 = R"(,"bf16":{"enabled":true})";
  return {{"zero-0", R"("stage":0)", ""},
          {"zero-1", R"("stage":1)", ""},
          {"zero-2", R"("stage":2)", ""},
          {"zero-3", R"("stage":3)" + no_resident, ""},
          {"zero-0 bf16", R"("stage":0)", bf16},
          {"zero-3 bf16", R"("stage":3)" + no_resident, bf16},
          {"zero-1 + optimizer on the host", R"("stage":1)" + cpu, ""},
          {"zero-2 + optimizer on the host", R"("stage":2)" + cpu, ""},
          {"zero-3 + optimizer on the host", R"("stage":3)" + no_resident + cpu, ""},
          {"zero-3 bf16 + optimizer on the host", R"("stage":3)" + no_resident + cpu, bf16},
          {"zero-3 + all on the host", R"("stage":3)" + no_resident + cpu + param_cpu, ""},
          {"zero-3 + all on NVMe", R"("stage":3)" + no_resident + drive, ""}};
}

/// Layers of width 1024 on 2 ranks, one sequence of 128 tokens each.
Job job_of(const Choice& choice, int layers, std::int64_t limit) {
  const std::string text = fmt::format(
      R"({{"model":{{"model_type":"gpt2","vocab_size":256,"n_positions":128,"n_embd":1024,"n_layer":{},"n_head":16}},)"
      R"("deepspeed":{{"train_micro_batch_size_per_gpu":1,"zero_optimization":{{{},"overlap_comm":true,)"
      R"("reduce_bucket_size":13000000}}{}}},"parallel":{{"dp":2}},"data":{{"seq_len":128}},"steps":2,)"
      R"("device_memory_bytes":{}}})",
      layers, choice.zero, choice.extra, limit);
  return parse_job(text, choice.name, {});
}

MemoryPeak predicted_peak(const Choice& choice, int layers, const Options& options) {
  return compute_memory_peak(lower(job_of(choice, layers, options.device_bytes), 0));
}

bool fits(const Choice& choice, int layers, const Options& options) {
  return predicted_peak(choice, layers, options).peak_bytes[static_cast<std::size_t>(Space::kDevice)] <=
         options.device_bytes;
}

/// By halving: memory grows with every layer. 0: not even one.
int largest_fitting(const Choice& choice, const Options& options) {
  int low = 0, high = options.most_layers;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    fits(choice, middle, options) ? low = middle : high = middle - 1;
  }
  return low;
}

TrainResult run(const Job& job) {
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 1);
  return train(job, [](int /*rank*/, int threads) { return make_cpu_backend(threads); }, {.data = data.get()});
}

/// "refused" if training does not start for want of device memory; anything else is a finding.
std::string try_beyond(const Choice& choice, int layers, const Options& options) {
  if (layers > options.most_layers) return "not tried: stopped at the most layers asked for";
  try {
    run(job_of(choice, layers, options.device_bytes));
    return "TRAINED ALL THE SAME";
  } catch (const Error& error) {
    return error.kind() == ErrorKind::kDevice ? "one layer more is refused" : std::string("FAILED: ") + error.what();
  }
}

double gib(std::int64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(1 << 30); }

void show(const Choice& choice, const Options& options) {
  const int layers = largest_fitting(choice, options);
  if (layers == 0) {
    fmt::print("{:<38} not even one layer fits\n", choice.name);
    return;
  }
  const Job job = job_of(choice, layers, options.device_bytes);
  const MemoryPeak peak = predicted_peak(choice, layers, options);
  const auto of = [&](Space space) { return gib(peak.peak_bytes[static_cast<std::size_t>(space)]); };
  std::string shown;
  try {
    const TrainResult result = run(job);
    const bool equal = result.ranks.front().peak.peak_bytes == peak.peak_bytes;
    shown = std::isfinite(result.losses.back()) && equal ? "trained, peak as predicted" : "DIFFERS";
  } catch (const Error& error) {
    shown = std::string("FAILED: ") + error.what();
  }
  fmt::print("{:<38} {:>3} {:8.1f} M {:8.3f} {:8.2f} {:8.2f}   {}; {}\n", choice.name, layers,
             static_cast<double>(parameter_count(job.model)) * 1e-6, of(Space::kDevice),
             of(Space::kPinned) + of(Space::kHost), of(Space::kNvme), shown, try_beyond(choice, layers + 1, options));
  std::fflush(stdout);
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--device-mib") {
      options.device_bytes = std::atoll(value.c_str()) << 20;
    } else if (flag == "--most-layers") {
      options.most_layers = std::max(1, std::atoi(value.c_str()));
    } else if (flag == "--nvme") {
      options.nvme = value;
    } else if (flag == "--only") {
      options.only = value;
    } else {
      throw Error(ErrorKind::kConfig, flag + ": unknown; known are --device-mib --most-layers --nvme --only");
    }
  }
  return options;
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  using namespace shardscope;
  try {
    const Options options = parse_options(argc, argv);
    fmt::print("GPT-2 blocks of width 1024, 2 ranks with a device of {:.2f} GiB each; GiB of rank 0 at its peak\n\n",
               gib(options.device_bytes));
    fmt::print("{:<38} {:>3} {:>10} {:>8} {:>8} {:>8}\n", "choice", "L", "parameters", "device", "host", "NVMe");
    for (const Choice& choice : choices(options.nvme)) {
      if (choice.name.find(options.only) != std::string::npos) show(choice, options);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "model_scale_bench: {}\n", error.what());
    return 2;
  }
  return 0;
}
