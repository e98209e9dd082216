#include "core/engine/checkpoint/deal_state.h"

#include <gtest/gtest.h>

#include <map>

#include "core/engine/bigram_for_test.h"

namespace shardscope {
namespace {

/// A program that only holds state: one buffer per piece.
struct Holder {
  explicit Holder(int rank) { program.rank = rank; }
  void hold(const Parameter& parameter, StateRole role, std::int64_t begin, std::int64_t count,
            DType dtype = DType::kF32) {
    const BufferId id = program.add_buffer(
        {.name = "b" + std::to_string(program.buffers.size()), .dtype = dtype, .elements = count, .persistent = true});
    program.parameters.push_back(parameter);
    program.state.push_back({static_cast<std::int32_t>(program.parameters.size()) - 1, role, begin, program.whole(id)});
  }
  Program program;
};

/// How often each element of a tensor in a role is written, and by whom at last.
std::map<std::int64_t, std::vector<int>> writers(const std::vector<std::vector<OwnedPart>>& parts,
                                                 const std::string& tensor, StateRole role) {
  std::map<std::int64_t, std::vector<int>> found;
  for (std::size_t rank = 0; rank < parts.size(); ++rank) {
    for (const OwnedPart& part : parts[rank]) {
      if (part.tensor != tensor || part.role != role) continue;
      std::int64_t elements = 0;
      for (const Region& region : part.regions) elements += region.count;
      EXPECT_EQ(elements, part.elements());
      for (const RunGroup& run : part.runs) {
        for (std::int64_t i = 0; i < run.times; ++i) {
          for (std::int64_t e = 0; e < run.length; ++e) {
            found[run.begin + i * run.stride + e].push_back(static_cast<int>(rank));
          }
        }
      }
    }
  }
  return found;
}

TEST(DealState, ReplicasShareTheWork) {
  const std::vector<Program> programs = bigram_programs(bigram_job(3, 1, 1));
  const auto parts = deal_state(programs);
  ASSERT_EQ(parts.size(), 3U);
  for (const std::vector<OwnedPart>& owned : parts) {
    ASSERT_EQ(owned.size(), 1U) << "three tensors of one size, three ranks";
    EXPECT_EQ(owned[0].elements(), 121);
    EXPECT_EQ(owned[0].runs, (std::vector<RunGroup>{{0, 121, 0, 1}}));
  }
}

TEST(DealState, ShardsGoToTheirOwnersAndAMasterComesFirst) {
  const Parameter p{"w", {10}};
  Holder a(0), b(1);
  for (Holder* holder : {&a, &b}) holder->hold(p, StateRole::kParameter, 0, 10, DType::kBF16);
  a.hold(p, StateRole::kMaster, 0, 6);
  b.hold(p, StateRole::kMaster, 6, 4);
  const std::vector<Program> programs{a.program, b.program};
  const auto parts = deal_state(programs);
  ASSERT_EQ(parts[0].size(), 1U);
  EXPECT_EQ(parts[0][0].dtype, DType::kF32);
  EXPECT_EQ(parts[0][0].runs, (std::vector<RunGroup>{{0, 6, 0, 1}}));
  EXPECT_EQ(parts[1][0].runs, (std::vector<RunGroup>{{6, 4, 0, 1}}));
}

TEST(DealState, ColumnsOfAMatrixAreOneGroup) {
  Parameter p{"w", {100, 8}};
  std::vector<Program> programs;
  for (int part = 0; part < 2; ++part) {
    Holder holder(part);
    p.slice = {.dim = 1, .blocks = 1, .part = part, .parts = 2};
    holder.hold(p, StateRole::kParameter, 0, 400);
    programs.push_back(holder.program);
  }
  const auto parts = deal_state(programs);
  ASSERT_EQ(parts[1].size(), 1U);
  EXPECT_EQ(parts[1][0].runs, (std::vector<RunGroup>{{4, 4, 8, 100}}));
  EXPECT_EQ(parts[1][0].regions.size(), 1U);
}

TEST(DealState, EveryElementOnceHoweverPiecesOverlap) {
  Parameter p{"w", {7, 12}};
  std::vector<Program> programs;
  for (int rank = 0; rank < 6; ++rank) {
    Holder holder(rank);
    p.slice = {.dim = rank % 2, .blocks = rank % 2 == 1 ? 3 : 1, .part = rank / 2, .parts = 3};
    const std::int64_t n = p.local_elements(), cut = n * (rank + 1) / 9;
    holder.hold(p, StateRole::kParameter, 0, cut);
    holder.hold(p, StateRole::kParameter, cut, n - cut);
    holder.hold(p, StateRole::kExpAvg, 0, n);
    programs.push_back(holder.program);
  }
  const auto parts = deal_state(programs);
  for (const StateRole role : {StateRole::kParameter, StateRole::kExpAvg}) {
    const auto found = writers(parts, "w", role);
    EXPECT_EQ(found.size(), 84U);
    for (const auto& [element, ranks] : found) EXPECT_EQ(ranks.size(), 1U) << element;
  }
}

}  // namespace
}  // namespace shardscope
