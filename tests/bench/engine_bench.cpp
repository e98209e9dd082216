// What the engine adds to the work itself: the executor's time per op, what tracing into a profile costs a training
// step; and what a step costs in bf16 beside fp32. Runs with and without alternate, so that a disturbance meets both.
// Nothing passes or fails by time.
//
//   engine_bench [steps per run]      (default: 6)

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/arena.h"
#include "core/engine/executor.h"
#include "core/engine/float_convert.h"
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

/// Norm with finite test, clip coefficient and AdamW on `count` elements in one flat shard: the whole optimizer step of
/// a rank, as the programs have it. In bf16 the gradient is, and Adam writes the rounded copy of its fp32 parameters.
double best_optimizer_s(std::int64_t count, DType dtype, int threads) {
  Program program;
  const auto add = [&](const char* name, std::int64_t elements, DType type) {
    auto& end = program.arena_bytes[0];
    const BufferId id =
        program.add_buffer({.name = name, .dtype = type, .elements = elements, .persistent = true, .address = end});
    end += program.buffer(id).bytes();
    return program.whole(id);
  };
  const Region param = add("param", count, DType::kF32), grad = add("grad", count, dtype);
  const Region mean = add("mean", count, DType::kF32), square = add("square", count, DType::kF32);
  const Region sum = add("sum", 1, DType::kF64), norm = add("norm", 1, DType::kF32), clip = add("clip", 1, DType::kF32);
  const auto emit = [&](Op op) { program.instructions.push_back({.op = std::move(op), .label = {}, .after = {}}); };
  emit(Fill{sum, 0});
  emit(SumSquares{grad, sum});
  emit(ClipCoefficient{sum, norm, clip, 1.0});
  Adam adam{param, grad, mean, square, clip};
  if (dtype != DType::kF32) adam.copy = add("copy", count, dtype);
  emit(adam);
  const auto backend = make_cpu_backend(threads);
  Arena arena(program, *backend);
  Executor executor(program, *backend, arena, {});
  const std::vector<float> values(static_cast<std::size_t>(count), 1e-3F);
  from_floats(values, dtype, arena.memory().at(grad));
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

/// Step times in fp32 and in bf16, in turn; processor time too, which other load on the machine disturbs less.
void bench_precision(const char* model, std::int64_t seq_len, std::int64_t micro_batch, int ranks, int steps) {
  Job job = make_job(model, steps);
  job.parallel.dp = ranks;
  job.data.seq_len = seq_len;
  job.training.micro_batch = micro_batch;
  job.training.train_batch_size = micro_batch * ranks;
  const auto data = make_random_sequences(job.model.vocab_size, seq_len, job.seed);
  std::vector<double> wall[2], processor[2];
  for (int turn = 0; turn < 5; ++turn) {
    for (const std::size_t narrow : {0U, 1U}) {
      job.training.precision.kind = narrow == 1 ? Precision::kBf16 : Precision::kFp32;
      const std::clock_t start = std::clock();
      const TrainResult result =
          train(job, [](int /*rank*/, int threads) { return make_cpu_backend(threads); }, {.data = data.get()});
      wall[narrow].push_back(*std::min_element(result.step_times_s.begin(), result.step_times_s.end()));
      processor[narrow].push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / steps);
    }
  }
  for (const std::size_t i : {0U, 1U}) {
    std::sort(wall[i].begin(), wall[i].end());
    std::sort(processor[i].begin(), processor[i].end());
  }
  std::printf(
      "%-14s %d rank(s), %ld x %ld tokens: fp32 %9.3f ms, bf16 %9.3f ms: %.3f; processor %9.3f, %9.3f ms: %.3f\n",
      model, ranks, static_cast<long>(micro_batch), static_cast<long>(seq_len), wall[0][0] * 1e3, wall[1][0] * 1e3,
      wall[1][0] / wall[0][0], processor[0][0] * 1e3, processor[1][0] * 1e3, processor[1][0] / processor[0][0]);
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
    std::printf("optimizer step of 50000000 elements, %d thread(s): fp32 %.4f s, bf16 %.4f s\n", threads,
                shardscope::best_optimizer_s(50'000'000, shardscope::DType::kF32, threads),
                shardscope::best_optimizer_s(50'000'000, shardscope::DType::kBF16, threads));
  }
  shardscope::bench_precision("gpt-10m.json", 128, 2, 1, 2 * steps);
  shardscope::bench_precision("gpt-10m.json", 128, 2, 2, 2 * steps);
  shardscope::bench_precision("gpt-10m.json", 256, 4, 1, steps);
  shardscope::bench_precision("gpt2.json", 256, 4, 1, 3);
  shardscope::bench_tracing("gpt-tiny.json", 10 * steps);
  shardscope::bench_tracing("gpt-10m.json", steps);
  return 0;
}
