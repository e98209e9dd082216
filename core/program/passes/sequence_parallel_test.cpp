#include "core/program/passes/sequence_parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/program/verify.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SequenceParallel, TheRanksTogetherHoldEveryTokenOnce) {
  for (const auto& [ring, ulysses] : {std::pair{1, 1}, {1, 3}, {2, 1}, {3, 1}, {2, 2}, {4, 3}, {3, 2}}) {
    const std::int64_t rows = 6, seq = rows * ring * ulysses;
    std::vector<std::int64_t> found;
    for (int place = 0; place < ring; ++place) {
      std::vector<std::int64_t> of_place, of_neighbours;
      for (std::int64_t i = 0; i < rows * ulysses; ++i) {
        of_place.push_back(ring_part(seq, ring, place).position(i, rows * ulysses));
      }
      for (int n = 0; n < ulysses; ++n) {
        const SequencePart part = rank_part(seq, {ring, place, ulysses, n});
        for (std::int64_t i = 0; i < rows; ++i) of_neighbours.push_back(part.position(i, rows));
      }
      EXPECT_EQ(of_neighbours, of_place);
      EXPECT_TRUE(std::is_sorted(of_place.begin(), of_place.end()));
      found.insert(found.end(), of_place.begin(), of_place.end());
    }
    std::sort(found.begin(), found.end());
    std::vector<std::int64_t> all(static_cast<std::size_t>(seq));
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(found, all) << ring << " x " << ulysses;
  }
}

Job make_job(int cp, int ulysses, bool llama = false) {
  Job job;
  job.model = llama ? parse_model(R"({"model_type": "llama", "vocab_size": 11, "hidden_size": 16,
                                      "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
                                      "intermediate_size": 8, "max_position_embeddings": 64})",
                                  "small")
                    : parse_model(R"({"model_type": "gpt2", "vocab_size": 11, "n_embd": 16, "n_layer": 1, "n_head": 4,
                                      "n_positions": 64, "n_inner": 8})",
                                  "tiny");
  job.parallel.cp = cp;
  job.parallel.ulysses = ulysses;
  job.data.seq_len = 48;
  job.training.micro_batch = job.training.accumulation = job.training.train_batch_size = 1;
  return job;
}

/// Ops of the block's attention in a phase: between the projections.
std::vector<std::string> attention_ops(const Program& program, Phase phase) {
  std::vector<std::string> list;
  for (const Instruction& in : program.instructions) {
    const std::string_view name = program.name(in.label.name);
    const bool is_memory = std::holds_alternative<Alloc>(in.op) || std::holds_alternative<Free>(in.op);
    if (in.label.phase != phase || in.label.layer != 0 || is_memory) continue;
    if (!name.ends_with(".attn") && !name.ends_with(".self_attn")) continue;
    if (!std::holds_alternative<Add>(in.op)) list.emplace_back(op_name(in.op));
  }
  return list;
}

/// Pairs of a query and a key that a rank computes in forward, over all its attention ops.
std::vector<double> pairs_of(const Program& program) {
  std::vector<double> pairs;
  for (const Instruction& in : program.instructions) {
    if (const auto* op = std::get_if<Attention>(&in.op)) pairs.push_back(visible_pairs(op->span, op->seq));
  }
  return pairs;
}

TEST(SequenceParallel, ARingPassesKeysOnAndMergesAndBringsTheirGradientsHome) {
  const Program program = lower(make_job(3, 1), 1);
  EXPECT_THAT(attention_ops(program, Phase::kForward),
              ElementsAre("copy_rows", "copy_rows", "ring_shift", "attention", "hold", "ring_shift", "attention",
                          "hold", "attention"));
  EXPECT_THAT(attention_ops(program, Phase::kBackward),
              ElementsAre("copy_rows", "copy_rows", "ring_shift", "attention_backward",  // own keys
                          "ring_shift", "attention_backward", "ring_shift",              // their share goes on
                          "attention_backward", "hold", "accumulate", "ring_shift",      // ... with the next added
                          "accumulate", "copy_rows", "copy_rows"));                      // ... and is home
}

TEST(SequenceParallel, EveryPlaceOfARingHasTheSameWorkInEveryStep) {
  const std::int64_t rows = 48 / 4;
  double all = 0;
  for (int rank = 0; rank < 4; ++rank) {
    const std::vector<double> pairs = pairs_of(lower(make_job(4, 1), rank));
    EXPECT_THAT(pairs, ElementsAre(rows * (rows + 1) / 2, rows * rows / 2, rows * rows / 2, rows * rows / 2));
    all += std::accumulate(pairs.begin(), pairs.end(), 0.0);
  }
  EXPECT_EQ(all, 48 * 49 / 2);
}

TEST(SequenceParallel, AttentionWaitsForNoMessageButTheOneWithItsKeys) {
  for (const bool llama : {false, true}) {
    for (const int recompute : {0, 2}) {
      Job job = make_job(4, 1, llama);
      job.recompute = static_cast<Recompute>(recompute);
      const Program program = lower(job, 2);
      const auto check = [&](const Instruction& in, const Region& keys) {
        for (OpId id : in.after) {
          const auto* shift = std::get_if<RingShift>(&program.instruction(id).op);
          if (shift == nullptr) continue;
          EXPECT_EQ(program.buffer(shift->out.buffer).name, program.buffer(keys.buffer).name);
        }
      };
      for (const Instruction& in : program.instructions) {
        if (const auto* op = std::get_if<Attention>(&in.op)) check(in, op->k);
        if (const auto* op = std::get_if<AttentionBackward>(&in.op)) check(in, op->k);
      }
    }
  }
}

TEST(SequenceParallel, UlyssesSwapsRowsForHeadsAndBack) {
  for (const bool llama : {false, true}) {
    const Program program = lower(make_job(2, 2, llama), 1);
    EXPECT_THAT(attention_ops(program, Phase::kForward),
                testing::AllOf(testing::Contains("all_to_all").Times(2), testing::Contains("attention").Times(1)));
    EXPECT_THAT(attention_ops(program, Phase::kBackward), testing::Contains("all_to_all").Times(2));
    for (const Instruction& in : program.instructions) {
      const auto* op = std::get_if<Attention>(&in.op);
      if (op == nullptr) continue;
      EXPECT_EQ(op->seq, 48);
      EXPECT_EQ(op->heads, 2);
      EXPECT_EQ(op->kv_heads, llama ? 1 : 2);
      EXPECT_EQ(op->span.q, SequencePart());
    }
  }
}

TEST(SequenceParallel, RecomputationRepeatsMessagesOnlyWhereItsResultNeedsThem) {
  const auto again = [](int cp, int ulysses, Recompute recompute) {
    Job job = make_job(cp, ulysses);
    job.recompute = recompute;
    std::vector<std::string> messages;
    for (const Instruction& in : lower(job, 0).instructions) {
      const bool counts = in.label.phase == Phase::kRecompute && (is_communication(in.op) || op_name(in.op) == "hold");
      if (counts) messages.emplace_back(op_name(in.op));
    }
    return messages;
  };
  EXPECT_THAT(again(2, 2, Recompute::kSelective), ElementsAre());  // heads are kept, attention is computed again
  EXPECT_THAT(again(2, 2, Recompute::kFull), ElementsAre("all_to_all", "all_to_all"));
  for (const Recompute recompute : {Recompute::kSelective, Recompute::kFull}) {
    EXPECT_THAT(again(3, 1, recompute), ElementsAre("ring_shift", "hold", "ring_shift", "hold"));
  }
}

std::string refusal(const Job& job) {
  try {
    lower(job, 0);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(SequenceParallel, RefusesWhatDoesNotDivide) {
  Job job = make_job(4, 1);
  job.data.seq_len = 44;
  EXPECT_THAT(refusal(job),
              HasSubstr("data.seq_len: is 44; 4 ranks share a sequence (parallel.cp), each with early and "
                        "late tokens, so it must be a multiple of 8"));
  job = make_job(2, 2);
  job.data.seq_len = 45;
  EXPECT_THAT(refusal(job), HasSubstr("data.seq_len: is 45; 2 ranks share a sequence (parallel.cp), so it must be a "
                                      "multiple of 2"));
  EXPECT_THAT(refusal(make_job(6, 4)), HasSubstr("parallel.ulysses: is 4; it must divide the 6 shards"));
  EXPECT_THAT(refusal(make_job(3, 3)),
              HasSubstr("parallel.ulysses: is 3; it must divide the 4 attention heads that a rank of model gpt2 has"));
  EXPECT_THAT(refusal(make_job(4, 4, true)),
              HasSubstr("it must divide the 2 key/value heads that a rank of model llama has"));
  job = make_job(2, 2, true);
  job.parallel.tp = 2;
  EXPECT_THAT(refusal(job), HasSubstr("it must divide the 1 key/value heads that a rank of model llama has"));
}

}  // namespace
}  // namespace shardscope
