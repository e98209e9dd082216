// What the engine adds to the work itself: the executor's time per op, and what tracing into a profile costs a training
// step. Runs with and without alternate, so that a disturbance meets both. Nothing passes or fails by time.
//
//   engine_bench [steps per run]      (default: 6)

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/arena.h"
#include "core/engine/executor.h"
#include "core/engine/trainer.h"
#include "kernels/cpu/cpu_backend.h"
#include "profiler/store/profile_writer.h"
#include "source_dir.h"

namespace shardscope {
namespace {

/// `ops` fills of 16 floats, each on the next of `lanes` lanes and after the one before.
Program make_chain(int ops, int lanes) {
  Program program;
  const BufferId id = program.add_buffer({.name = "x", .elements = 16, .persistent = true, .address = 0});
  program.arena_bytes[0] = program.buffer(id).bytes();
  for (int i = 0; i < ops; ++i) {
    Instruction fill{
        .op = Fill{program.whole(id), 1.0}, .lane = static_cast<Lane>(i % lanes), .label = {}, .after = {}};
    if (lanes > 1 && i > 0) fill.after.push_back(OpId{i - 1});
    program.instructions.push_back(std::move(fill));
  }
  return program;
}

double best_us_per_op(int ops, int lanes) {
  const Program program = make_chain(ops, lanes);
  const auto backend = make_cpu_backend(1);
  Arena arena(program, *backend);
  Executor executor(program, *backend, arena, {});
  std::int64_t best = INT64_MAX;
  for (int step = 0; step < 30; ++step) {
    const std::int64_t start = steady_now_ns();
    executor.run_step(step, {});
    best = std::min(best, steady_now_ns() - start);
  }
  return static_cast<double>(best) * 1e-3 / ops;
}

/// Norm with finite test, clip coefficient and AdamW on `count` fp32 elements in one flat shard: the whole optimizer
/// step of a rank, as the programs have it.
double best_optimizer_s(std::int64_t count, int threads) {
  Program program;
  const auto add = [&](const char* name, std::int64_t elements, DType dtype) {
    auto& end = program.arena_bytes[0];
    const BufferId id =
        program.add_buffer({.name = name, .dtype = dtype, .elements = elements, .persistent = true, .address = end});
    end += program.buffer(id).bytes();
    return program.whole(id);
  };
  const Region param = add("param", count, DType::kF32), grad = add("grad", count, DType::kF32);
  const Region mean = add("mean", count, DType::kF32), square = add("square", count, DType::kF32);
  const Region sum = add("sum", 1, DType::kF64), norm = add("norm", 1, DType::kF32), clip = add("clip", 1, DType::kF32);
  const auto emit = [&](Op op) { program.instructions.push_back({.op = std::move(op), .label = {}, .after = {}}); };
  emit(Fill{sum, 0});
  emit(SumSquares{grad, sum});
  emit(ClipCoefficient{sum, norm, clip, 1.0});
  emit(Adam{param, grad, mean, square, clip});
  const auto backend = make_cpu_backend(threads);
  Arena arena(program, *backend);
  Executor executor(program, *backend, arena, {});
  std::fill_n(arena.memory().as<float>(grad), count, 1e-3F);
  std::int64_t best = INT64_MAX;
  for (int step = 0; step < 6; ++step) {
    const std::int64_t start = steady_now_ns();
    executor.run_step(step, {.applied_steps = step + 1, .learning_rate = 1e-4});
    if (step > 0) best = std::min(best, steady_now_ns() - start);
  }
  return static_cast<double>(best) * 1e-9;
}

Job make_job(const char* model, int steps) {
  JobOverrides flags;
  flags.model = std::string(SHARDSCOPE_SOURCE_DIR "/data/models/") + model;
  flags.ranks = 2;
  flags.stage = 2;
  flags.steps = steps;
  flags.seq_len = 64;
  flags.micro_batch = 4;
  return load_job("", flags);
}

/// Step times with and without a profile, and the ops each step writes.
void bench_tracing(const char* model, int steps) {
  const Job job = make_job(model, steps);
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, job.seed);
  const BackendFactory backends = [](int /*rank*/, int threads) { return make_cpu_backend(threads); };
  const std::string path =
      (std::filesystem::temp_directory_path() / ("engine_bench_" + std::to_string(::getpid()) + ".db")).string();
  std::vector<double> with, without;
  for (int turn = 0; turn < 5; ++turn) {
    without.push_back(train(job, backends, {.data = data.get()}).median_step_time_s());
    ProfileWriter writer(path, {.name = model});
    with.push_back(train(job, backends, {.trace = &writer, .data = data.get()}).median_step_time_s());
    writer.finish();
    std::filesystem::remove(path);
  }
  std::sort(with.begin(), with.end());
  std::sort(without.begin(), without.end());
  std::printf("%-14s tracing off %9.3f ms (best %9.3f), on %9.3f ms (best %9.3f): %+.2f %% (best %+.2f %%)\n", model,
              without[2] * 1e3, without[0] * 1e3, with[2] * 1e3, with[0] * 1e3, (with[2] / without[2] - 1) * 100,
              (with[0] / without[0] - 1) * 100);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::max(3, std::atoi(argv[1])) : 6;
  std::printf("executor, one lane:          %.2f us per op\n", shardscope::best_us_per_op(10000, 1));
  std::printf("executor, two lanes in turn: %.2f us per op, each waiting for the other lane\n",
              shardscope::best_us_per_op(2000, 2));
  for (const int threads : {1, 2}) {
    std::printf("optimizer step of 50000000 fp32 elements, %d thread(s): %.4f s\n", threads,
                shardscope::best_optimizer_s(50'000'000, threads));
  }
  shardscope::bench_tracing("gpt-tiny.json", 10 * steps);
  shardscope::bench_tracing("gpt-10m.json", steps);
  return 0;
}
