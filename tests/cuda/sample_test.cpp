// What Sample draws on the CUDA backend is what the CPU backend draws, whatever the temperature, the cuts, the seed and
// the ties. Skipped without a GPU or the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "core/error.h"
#include "kernels/conformance/conformance.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"

namespace shardscope {
namespace {

/// What the CPU backend leaves in a region.
Doubles run_on_cpu(Backend& cpu, const ConformanceCase& test, const Region& region) {
  const std::int64_t bytes = test.program.arena_bytes[0];
  std::byte* base = cpu.allocate(Space::kDevice, bytes);
  for (std::size_t i = 0; i < test.contents.size(); ++i) {
    std::copy(test.contents[i].begin(), test.contents[i].end(), base + test.program.buffers[i].address);
  }
  const Memory memory{&test.program, {base}};
  cpu.run(test.program.instructions[0].op, memory, test.scalars, Lane::kCompute);
  cpu.synchronize();
  Doubles values;
  const DType dtype = test.program.buffer(region.buffer).dtype;
  for (std::int64_t i = 0; i < region.count; ++i) {
    values.push_back(decode(dtype, memory.at(region) + i * size_of(dtype)));
  }
  cpu.release(Space::kDevice, base, bytes);
  return values;
}

/// Logits of few values, so that many are the same; of any size.
ConformanceCase gen_case(Sample& op) {
  op.batch = *rc::gen::inRange<std::int64_t>(1, 5), op.vocab = *rc::gen::inRange<std::int64_t>(1, 300);
  op.parts = *rc::gen::inRange<std::int64_t>(1, 4);
  op.temperature = *rc::gen::element(0.0, 0.3, 1.0, 2.5);
  op.top_k = *rc::gen::element<std::int64_t>(0, 1, 2, 7, 40, 1000);
  op.top_p = *rc::gen::element(1.0, 0.95, 0.5, 0.1, 0.0);
  const double step = *rc::gen::element(1e-3, 0.5, 10.0);
  CaseBuilder b("sample " + std::to_string(*rc::gen::inRange(0, 1 << 20)));
  const std::int64_t part = (op.vocab + op.parts - 1) / op.parts;
  Doubles logits = b.random_indices(op.parts * op.batch * part, *rc::gen::element<std::int64_t>(2, 20, 1000));
  for (double& v : logits) v = rounded(DType::kF32, -v * step);  // 0 is -0
  op.logits = b.in(logits), op.starts = b.in(b.random_indices(op.batch, 100), DType::kI32);
  op.counts = b.in(Doubles(static_cast<std::size_t>(op.batch), 1), DType::kI32);
  op.tokens = b.out(op.batch, DType::kI32), op.logprobs = b.out(op.batch);
  b.scalars().seed = *rc::gen::arbitrary<std::uint64_t>();
  return b.build(op);
}

TEST(CudaSample, DrawsWhatTheCpuDraws) {
  std::unique_ptr<Backend> cuda;
  try {
    cuda = make_cuda_backend({});
  } catch (const Error&) {
    GTEST_SKIP() << "no GPU, and not on the emulated device";
  }
  const auto cpu = make_cpu_backend(1);
  EXPECT_TRUE(rc::check([&] {
    Sample op;
    ConformanceCase test = gen_case(op);
    test.expectations.push_back({op.tokens, run_on_cpu(*cpu, test, op.tokens), {}});
    test.expectations.push_back({op.logprobs, run_on_cpu(*cpu, test, op.logprobs), {1e-6, 1e-6}});
    const std::vector<std::string> faults = run_case(*cuda, test);
    if (!faults.empty()) RC_FAIL(faults.front());
  }));
}

}  // namespace
}  // namespace shardscope
