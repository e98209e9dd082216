// Lanes, order, failures and memory of the CPU backend; that bits do not depend on threads, places or cuts.
#include "kernels/cpu/cpu_backend.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "kernels/conformance/case.h"
#include "kernels/cpu/isa.h"

namespace shardscope {
namespace {

TEST(CpuBackend, DoesTheWorkOfALaneInOrder) {
  const auto backend = make_cpu_backend(1);
  std::vector<int> seen;
  for (int i = 0; i < 1000; ++i) backend->call(Lane::kReduce, [&seen, i] { seen.push_back(i); });
  backend->synchronize();
  ASSERT_EQ(seen.size(), 1000U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(CpuBackend, LanesRunAtTheSameTime) {
  const auto backend = make_cpu_backend(1);
  std::atomic<bool> arrived = false;
  backend->call(Lane::kCompute, [&] { arrived.wait(false); });  // hangs if lanes took turns
  backend->call(Lane::kGather, [&] {
    arrived = true;
    arrived.notify_all();
  });
  backend->synchronize();
  EXPECT_TRUE(arrived);
}

TEST(CpuBackend, ALaneWaitsForThePointOfAnother) {
  const auto backend = make_cpu_backend(1);
  std::vector<std::string> seen;  // safe to share: the waits order all that touches it
  for (int round = 0; round < 200; ++round) {
    backend->call(Lane::kCompute, [&seen] { seen.emplace_back("compute"); });
    const std::int64_t computed = backend->record(Lane::kCompute);
    EXPECT_EQ(computed, round + 1);
    backend->wait(Lane::kReduce, Lane::kCompute, computed);
    backend->call(Lane::kReduce, [&seen] { seen.emplace_back("reduce"); });
    backend->wait(Lane::kCompute, Lane::kReduce, backend->record(Lane::kReduce));
  }
  backend->synchronize();
  ASSERT_EQ(seen.size(), 400U);
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i % 2 == 0 ? "compute" : "reduce");
}

TEST(CpuBackend, KeepsTheFirstExceptionAndDropsLaterWork) {
  const auto backend = make_cpu_backend(1);
  bool ran = false;
  backend->call(Lane::kCompute, [] { throw std::runtime_error("first"); });
  const std::int64_t point = backend->record(Lane::kCompute);
  backend->wait(Lane::kGather, Lane::kCompute, point);  // passes all the same
  backend->call(Lane::kGather, [] { throw std::runtime_error("second"); });
  backend->call(Lane::kGather, [&ran] { ran = true; });
  for (int again = 0; again < 2; ++again) {
    try {
      backend->synchronize();
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "first");
    }
  }
  EXPECT_FALSE(ran);
}

/// A program with one buffer [n] f32, one op to run on it, and memory.
struct OneBuffer {
  Program program;
  Region data;
  std::vector<float> values;
  Memory memory{&program, {}};
  explicit OneBuffer(std::int64_t n) : values(static_cast<std::size_t>(n)) {
    Buffer buffer{"data", DType::kF32, n};
    buffer.address = 0;
    program.buffers.push_back(buffer);
    data = program.whole(BufferId{0});
    memory.bases[0] = reinterpret_cast<std::byte*>(values.data());
  }
};

TEST(CpuBackend, RefusesWhatIsNotItsBusiness) {
  const auto backend = make_cpu_backend(1);
  OneBuffer one(4);
  const Op reduce = AllReduce{GroupId{0}, one.data}, load = LoadBatch{one.data, one.data}, alloc = Alloc{BufferId{0}};
  for (const Op& op : {reduce, load, alloc}) EXPECT_FALSE(backend->supports(one.program, op)) << op_name(op);
  EXPECT_TRUE(backend->supports(one.program, Scale{one.data, 2}));
  one.program.buffers[0].dtype = DType::kI8;
  EXPECT_FALSE(backend->supports(one.program, Scale{one.data, 2}));
  EXPECT_TRUE(backend->supports(one.program, Fill{one.data, 2}));
  const StepScalars scalars;
  backend->run(reduce, one.memory, scalars, Lane::kCompute);
  EXPECT_THROW(backend->synchronize(), Error);
  EXPECT_THROW(backend->allocate(Space::kNvme, 100), Error);
}

TEST(CpuBackend, RefusesTokensOutsideTheVocabulary) {
  for (const double token : {-1.0, 7.0}) {
    CaseBuilder b("bad token");
    const Embedding op{b.in({token}, DType::kI32), b.in(b.random(14)), {}, b.out(2), 1, 2, 1, 7};
    const ConformanceCase test = b.build(op);
    const auto backend = make_cpu_backend(1);
    std::vector<std::byte> bytes;
    for (const auto& part : test.contents) bytes.insert(bytes.end(), part.begin(), part.end());
    Memory memory{&test.program, {bytes.data()}};
    backend->run(test.program.instructions[0].op, memory, test.scalars, Lane::kCompute);
    EXPECT_THROW(backend->synchronize(), Error);
  }
}

TEST(CpuBackend, MemoryIsZeroAlignedAndOnlyTakenWhereTouched) {
  const auto backend = make_cpu_backend(1);
  for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{1}, std::int64_t{5000}, std::int64_t{3} << 20}) {
    std::byte* data = backend->allocate(Space::kDevice, bytes);
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % kAlignment, 0U);
    for (std::int64_t i = 0; i < bytes; i += 997) EXPECT_EQ(data[i], std::byte{0});
    backend->release(Space::kDevice, data, bytes);
  }
#ifndef SHARDSCOPE_SANITIZED                        // sanitizers need the address space for themselves
  const std::int64_t huge = std::int64_t{1} << 40;  // 1 TiB: more than there is
  std::byte* data = backend->allocate(Space::kHost, huge);
  data[huge / 2] = std::byte{1};
  backend->release(Space::kHost, data, huge);
#endif
}

// ---------------------------------------------------------------- bits

/// The bytes of every operand after the case has run, each at `shift` elements from where the case puts it.
std::vector<std::byte> bits_after(const ConformanceCase& test, int threads, Isa isa, std::int64_t shift = 0) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(test.program.arena_bytes[0] + 4096));
  std::byte* base = bytes.data() + shift * 4;
  for (std::size_t i = 0; i < test.contents.size(); ++i) {
    std::memcpy(base + test.program.buffers[i].address, test.contents[i].data(), test.contents[i].size());
  }
  const auto backend = make_cpu_backend(threads, isa);
  Memory memory{&test.program, {base}};
  backend->run(test.program.instructions[0].op, memory, test.scalars, Lane::kCompute);
  backend->synchronize();
  return {base, base + test.program.arena_bytes[0]};
}

/// One case of each kind whose result is a sum or has a remainder.
std::vector<ConformanceCase> bit_cases(DType dtype) {
  std::vector<ConformanceCase> cases;
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      for (const auto& [m, n, k] :
           {std::array<std::int64_t, 3>{65, 97, 129}, {8, 16, 1000}, {1, 77, 64}, {64, 1, 300}, {150, 600, 30}}) {
        CaseBuilder b("matmul", dtype);
        cases.push_back(b.build(MatMul{b.in(b.random(m * k)), b.in(b.random(k * n)), b.in(b.random(n)), b.out(m * n), m,
                                       n, k, trans_a, trans_b}));
      }
    }
  }
  CaseBuilder norm("norm", dtype), squares("squares", dtype), bias("bias", dtype), loss("loss", dtype);
  CaseBuilder heads("attention", dtype);
  cases.push_back(norm.build(RmsNormBackward{norm.in(norm.random(6700)), norm.in(norm.random(6700)),
                                             norm.in(norm.random(67)), norm.in(norm.random(100), DType::kF32),
                                             norm.out(6700), norm.out(67), 100, 67, false, false}));
  cases.push_back(squares.build(SumSquares{squares.in(squares.random(300007)), squares.in({0}, DType::kF64)}));
  cases.push_back(bias.build(BiasGradient{bias.in(bias.random(13100)), bias.out(131), 100, 131}));
  cases.push_back(
      loss.build(CrossEntropy{loss.in(loss.random(20000)), loss.in(loss.random_indices(20, 1000), DType::kI32),
                              loss.in({0}, DType::kF32), 20, 1000, 0.05}));
  Attention op{heads.in(heads.random(7200)),
               heads.in(heads.random(3600)),
               heads.in(heads.random(3600)),
               heads.out(7200),
               heads.out(600, DType::kF32),
               2,
               75,
               4,
               2,
               12,
               48,
               24};
  cases.push_back(heads.build(op));
  return cases;
}

TEST(CpuBits, DoNotDependOnThreadsOrAddresses) {
  for (const Isa isa : available_isas()) {
    std::vector<ConformanceCase> cases = bit_cases(DType::kF32);
    for (ConformanceCase& test : bit_cases(DType::kBF16)) cases.push_back(std::move(test));
    for (const ConformanceCase& test : cases) {
      const auto want = bits_after(test, 1, isa);
      const std::string& what = test.name;
      EXPECT_EQ(bits_after(test, 1, isa), want) << what << ": run again, " << to_string(isa);
      EXPECT_EQ(bits_after(test, 3, isa), want) << what << ": 3 threads, " << to_string(isa);
      for (const int shift : {2, 6, 16}) {  // whole doubles
        EXPECT_EQ(bits_after(test, 1, isa, shift), want) << what << ": moved by " << shift << ", " << to_string(isa);
      }
    }
  }
}

/// An element of a product of 16-bit operands is one chain of fused multiply-adds, however wide the vectors are.
TEST(CpuBits, SixteenBitProductsDoNotDependOnTheWidthOfVectors) {
  const std::vector<Isa> isas = available_isas();
  if (isas.back() != Isa::kX86V4) GTEST_SKIP() << "this processor has one width only";
  for (const ConformanceCase& test : bit_cases(DType::kBF16)) {
    if (!std::holds_alternative<MatMul>(test.program.instructions[0].op)) continue;
    EXPECT_EQ(bits_after(test, 1, Isa::kX86V3), bits_after(test, 2, Isa::kX86V4)) << test.name;
  }
}

/// Element-wise ops over all of a region, and over the same region cut in two at `cut`.
template <class MakeOp>
void expect_same_when_cut(const char* name, const MakeOp& make_op) {
  constexpr std::int64_t kSize = 1031;
  for (const Isa isa : available_isas()) {
    CaseBuilder whole(name);
    const ConformanceCase one = whole.build(make_op(whole, 0, kSize));
    const auto want = bits_after(one, 1, isa);
    for (const std::int64_t cut : {1, 15, 16, 17, 500, 1030}) {
      CaseBuilder b(name);
      ConformanceCase two = b.build(make_op(b, 0, cut));
      two.contents = one.contents;
      std::vector<std::byte> half = bits_after(two, 1, isa);
      for (std::size_t i = 0; i < two.contents.size(); ++i) {
        const auto at = static_cast<std::size_t>(two.program.buffers[i].address);
        std::copy_n(half.begin() + static_cast<std::ptrdiff_t>(at), two.contents[i].size(), two.contents[i].begin());
      }
      CaseBuilder rest(name);
      two.program.instructions[0].op = make_op(rest, cut, kSize - cut);
      EXPECT_EQ(bits_after(two, 1, isa), want) << name << " cut at " << cut << ", " << to_string(isa);
    }
  }
}

TEST(CpuBits, DoNotDependOnWhereARegionIsCut) {
  constexpr std::int64_t kSize = 1031;
  expect_same_when_cut("adam", [&](CaseBuilder& b, std::int64_t first, std::int64_t n) {
    b.scalars() = {3, 0.01};
    const auto positive = [&] {
      Doubles v = b.random(kSize);
      for (double& x : v) x = std::abs(x);
      return v;
    };
    Adam op{b.in(b.random(kSize)).part(first, n), b.in(b.random(kSize)).part(first, n),
            b.in(b.random(kSize)).part(first, n), b.in(positive()).part(first, n), b.in({0.7})};
    op.weight_decay = 0.1;
    return op;
  });
  expect_same_when_cut("accumulate", [&](CaseBuilder& b, std::int64_t first, std::int64_t n) {
    return Accumulate{b.in(b.random(kSize)).part(first, n), b.in(b.random(kSize)).part(first, n)};
  });
  expect_same_when_cut("scale", [&](CaseBuilder& b, std::int64_t first, std::int64_t n) {
    return Scale{b.in(b.random(kSize)).part(first, n), 1.0 / 3};
  });
  for (const auto kind : {ActivationKind::kGeluTanh, ActivationKind::kGeluErf, ActivationKind::kSilu}) {
    expect_same_when_cut("activation_backward", [&](CaseBuilder& b, std::int64_t first, std::int64_t n) {
      return ActivationBackward{b.in(b.random(kSize)).part(first, n), b.in(b.random(kSize)).part(first, n),
                                b.out(kSize).part(first, n), kind};
    });
  }
}

}  // namespace
}  // namespace shardscope
