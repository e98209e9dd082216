#include "core/program/parameter_runs.h"

#include <gtest/gtest.h>

#include <map>

namespace shardscope {
namespace {

/// The elements of the whole tensor that part `part` holds, by local element; -1: padding.
std::vector<std::int64_t> elements_of(Parameter p, int part, std::int64_t begin, std::int64_t count) {
  p.slice.part = part;
  std::vector<std::int64_t> found(static_cast<std::size_t>(count), -1);
  for_each_run(p, begin, count, [&](std::int64_t local, std::int64_t whole, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) found[static_cast<std::size_t>(local - begin + i)] = whole + i;
  });
  return found;
}

TEST(ParameterRuns, AWholeTensorIsOneRun) {
  const Parameter p{"w", {4, 6}};
  EXPECT_EQ(elements_of(p, 0, 5, 3), (std::vector<std::int64_t>{5, 6, 7}));
}

TEST(ParameterRuns, ColumnsOfAMatrixWithQKAndVSideBySide) {
  Parameter p{"c_attn", {2, 12}};
  p.slice = {.dim = 1, .blocks = 3, .part = 0, .parts = 2};
  EXPECT_EQ(p.local_shape(), (std::vector<std::int64_t>{2, 6}));
  EXPECT_EQ(elements_of(p, 1, 0, 12), (std::vector<std::int64_t>{2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23}));
  EXPECT_EQ(elements_of(p, 0, 3, 4), (std::vector<std::int64_t>{5, 8, 9, 12}));
}

TEST(ParameterRuns, RowsThatDoNotDivideArePadded) {
  Parameter p{"wte", {5, 2}};
  p.slice = {.dim = 0, .blocks = 1, .part = 0, .parts = 2};
  EXPECT_EQ(p.local_elements(), 6);
  EXPECT_EQ(elements_of(p, 1, 0, 6), (std::vector<std::int64_t>{6, 7, 8, 9, -1, -1}));
}

TEST(ParameterRuns, ThePartsTogetherHoldEveryElementOnce) {
  for (std::int32_t dim : {0, 1, 2}) {
    for (std::int64_t blocks : {1, 3}) {
      for (std::int32_t parts : {1, 2, 4, 7}) {
        Parameter p{"t", {6, 9, 3}};
        p.slice = {.dim = dim, .blocks = blocks, .part = 0, .parts = parts};
        std::map<std::int64_t, int> seen;
        for (int part = 0; part < parts; ++part) {
          for (std::int64_t e : elements_of(p, part, 0, p.local_elements())) ++seen[e];
        }
        seen.erase(-1);
        EXPECT_EQ(seen.size(), 162u);
        for (const auto& [element, times] : seen) EXPECT_EQ(times, 1) << element;
      }
    }
  }
}

}  // namespace
}  // namespace shardscope
