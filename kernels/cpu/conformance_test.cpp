// The shared conformance suite on the CPU backend: every instruction set this machine has, one thread and several.
#include "kernels/conformance/conformance.h"

#include <gmock/gmock.h>

#include <set>

#include "kernels/cpu/isa.h"

namespace shardscope {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class CpuConformance : public testing::TestWithParam<std::tuple<Isa, int>> {};

TEST_P(CpuConformance, EveryCase) {
  const auto [isa, threads] = GetParam();
  const ConformanceResult result = run_conformance(*make_cpu_backend(threads, isa));
  EXPECT_THAT(result.faults, IsEmpty());
  EXPECT_THAT(result.skipped, IsEmpty());
  EXPECT_GT(result.ran, 500);
}

#if defined(__SANITIZE_THREAD__)  // slow there, and nothing in one op for it to see
const std::vector<Isa> kIsas = {best_isa()};
const std::vector<int> kThreads = {1};
#elif defined(SHARDSCOPE_SANITIZED)
const std::vector<Isa> kIsas = available_isas();
const std::vector<int> kThreads = {3};
#else
const std::vector<Isa> kIsas = available_isas();
const std::vector<int> kThreads = {1, 3};
#endif
INSTANTIATE_TEST_SUITE_P(Isas, CpuConformance, testing::Combine(testing::ValuesIn(kIsas), testing::ValuesIn(kThreads)));

/// Ops that the executor or a communicator runs.
template <class T>
constexpr bool is_foreign = is_collective<T> || is_nvme<T> || std::is_same_v<T, Alloc> || std::is_same_v<T, Free> ||
                            std::is_same_v<T, Hold> || std::is_same_v<T, LoadBatch> || std::is_same_v<T, LoadTokens>;

template <std::size_t... I>
constexpr std::size_t count_own_ops(std::index_sequence<I...> /*alternatives*/) {
  return (std::size_t{!is_foreign<std::variant_alternative_t<I, Op>>} + ...);
}

TEST(Conformance, HasACaseForEveryOpTheBackendRuns) {
  std::set<std::string_view> ops;
  for (const ConformanceCase& test : conformance_cases()) ops.insert(op_name(test.program.instructions.front().op));
  EXPECT_EQ(ops.size(), count_own_ops(std::make_index_sequence<std::variant_size_v<Op>>()));
}

ConformanceCase scale_case(double wanted, double factor) {
  CaseBuilder b("scale by hand");
  const Region data = b.in({2, 4});
  b.expect(data, {4, wanted});
  return b.build(Scale{data, factor});
}

TEST(Conformance, ReportsAWrongElement) {
  const auto backend = make_cpu_backend(1, best_isa());
  EXPECT_THAT(run_case(*backend, scale_case(8, 2)), IsEmpty());
  EXPECT_THAT(run_case(*backend, scale_case(9, 2)), Contains(HasSubstr("data[1] is 8.000000, should be 9.000000")));
}

TEST(Conformance, ReportsAChangeBesideAnOperand) {
  CaseBuilder b("fill one too many");
  const Region all = b.out(5);
  b.expect(all.part(0, 4), {1, 1, 1, 1});
  const ConformanceCase test = b.build(Fill{all, 1});
  EXPECT_THAT(run_case(*make_cpu_backend(1, best_isa()), test), Contains(HasSubstr("changed, and should not")));
}

}  // namespace
}  // namespace shardscope
