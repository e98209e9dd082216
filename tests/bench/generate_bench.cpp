// Decoding against what bounds it: tokens per second of one sequence and of several, beside memory bandwidth over the
// bytes of weights. Checks first that memory is as predicted.
//
//   ./dev bench generate

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "core/engine/generator.h"
#include "kernels/cpu/cpu_backend.h"
#include "simulator/calibrate/probe.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

std::unique_ptr<Backend> backend(int /*rank*/, int threads) { return make_cpu_backend(threads); }

ModelSpec model_of(int layers, int hidden) {
  return parse_model(
      fmt::format(R"({{"model_type": "llama", "vocab_size": 8192, "hidden_size": {0}, "num_hidden_layers": {1},
                     "num_attention_heads": {2}, "num_key_value_heads": {2}, "intermediate_size": {3},
                     "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}})",
                  hidden, layers, hidden / 64, hidden * 4),
      "bench");
}

/// Bytes per second that all cores read together, past the caches: sums of squares over a large region.
double read_bandwidth() {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  ProbeTeam team(backend, 1, cores);
  constexpr std::int64_t kElements = 32 << 20;
  const double seconds = team.seconds([](ProbeProgram& p) {
    return Op(SumSquares{p.floats(kElements), p.doubles(1)});
  });
  return 4.0 * kElements / seconds;
}

/// Bytes that a decoded token must read: weights of the matrices once, the filled cache.
double bytes_of(const Program& program) {
  double bytes = 0;
  for (const Instruction& in : program.instructions) {
    if (const auto* o = std::get_if<MatMul>(&in.op)) bytes += static_cast<double>(program.bytes(o->b));
    if (const auto* o = std::get_if<MatMulInt8>(&in.op)) bytes += static_cast<double>(program.bytes(o->b));
    if (std::holds_alternative<CachedAttention>(in.op)) bytes += static_cast<double>(bytes_touched(program, in.op));
  }
  return bytes;
}

void check_memory(const InferenceSpec& spec, const GenerateResult& result) {
  for (int rank = 0; rank < spec.tp; ++rank) {
    const InferencePrograms programs = lower_inference(spec, rank);
    const auto r = static_cast<std::size_t>(rank);
    if (result.decode[r].peak.peak_bytes == compute_memory_peak(programs.decode).peak_bytes &&
        result.prefill[r].peak.peak_bytes == compute_memory_peak(programs.prefill).peak_bytes) {
      continue;
    }
    fmt::print(stderr, "memory of rank {} is not what was predicted\n", rank);
    std::exit(1);
  }
}

void measure(const ModelSpec& model, WeightFormat weights, std::int64_t batch, int tp, const Machine& machine,
             double bandwidth) {
  InferenceSpec spec{.model = model, .tp = tp, .batch = batch, .prompt = 64, .new_tokens = 40};
  spec.weights = weights;
  const std::vector<Tokens> prompts(static_cast<std::size_t>(batch), Tokens(64, 17));
  const GenerateResult result = generate(spec, prompts, backend);
  check_memory(spec, result);
  std::vector<Program> programs;
  double bytes = 0;
  for (int rank = 0; rank < tp; ++rank) {
    programs.push_back(lower_inference(spec, rank).decode);
    bytes += bytes_of(programs.back());
  }
  const double seconds = result.median_decode_time_s(), bound = bytes / bandwidth;
  const double predicted = simulate(programs, machine).step_time_s;
  fmt::print("{:<6} {:>5} {:>3} {:>9.1f} MB {:>9.2f} ms {:>9.1f} {:>9.2f} ms {:>6.0f} % {:>9.2f} ms {:>9.0f}\n",
             to_string(weights), batch, tp, bytes * 1e-6, seconds * 1e3, static_cast<double>(batch) / seconds,
             bound * 1e3, 100 * bound / seconds, predicted * 1e3,
             static_cast<double>(batch) * 64 / result.prefill_time_s);
}

int run(const char* machine_file) {
  const Machine machine = machine_file == nullptr ? default_machine() : load_machine(machine_file);
  const double bandwidth = read_bandwidth();
  fmt::print("all cores read {:.1f} GB/s; predictions: {}\n", bandwidth * 1e-9, machine.source);
  for (const auto& [layers, hidden] : {std::pair{4, 512}, {8, 1024}}) {
    const ModelSpec model = model_of(layers, hidden);
    fmt::print("\n{} layers of {}, {:.1f} M parameters\n", layers, hidden,
               static_cast<double>(parameter_count(model)) * 1e-6);
    fmt::print("{:<6} {:>5} {:>3} {:>12} {:>12} {:>9} {:>12} {:>8} {:>12} {:>9}\n", "weights", "batch", "tp", "reads",
               "step", "tokens/s", "bound", "of it", "predicted", "prefill/s");
    for (const WeightFormat weights : {WeightFormat::kF32, WeightFormat::kInt8}) {
      for (const std::int64_t batch : {1, 4, 16}) measure(model, weights, batch, 1, machine, bandwidth);
      measure(model, weights, 1, 2, machine, bandwidth);
    }
  }
  return 0;
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) { return shardscope::run(argc > 1 ? argv[1] : nullptr); }
