#pragma once
// A whole training program by hand, for the engine's own tests: logits = table[token], so that the model is one V x V
// table. Forward, loss, backward, gradient all-reduce on the reduce lane, clipping, Adam.

#include <string>
#include <vector>

#include "core/program/program.h"
#include "core/spec/job.h"

namespace shardscope {

inline Job bigram_job(int ranks, std::int64_t micro_batch, std::int64_t accumulation) {
  Job job;
  job.model.name = "bigram";
  job.model.vocab_size = 11;
  job.parallel.dp = ranks;
  job.data.seq_len = 8;
  job.training.micro_batch = micro_batch;
  job.training.accumulation = accumulation;
  job.training.train_batch_size = micro_batch * accumulation * ranks;
  job.training.optimizer.lr = 0.1;
  job.steps = 12;
  job.seed = 7;
  return job;
}

class BigramBuilder {
 public:
  BigramBuilder(const Job& job, int rank) : job_(job) {
    p_.rank = rank;
    p_.world = job.parallel.ranks();
    p_.replica = rank;
    p_.replicas = job.parallel.dp;
    Group dp{.name = "dp", .ranks = {}, .self = rank};
    for (int r = 0; r < p_.world; ++r) dp.ranks.push_back(r);
    p_.groups.push_back(dp);
    p_.tokens_per_step = job.training.train_batch_size * job.data.seq_len;
  }

  Program build() {
    const std::int64_t v = job_.model.vocab_size, rows = job_.training.micro_batch * job_.data.seq_len;
    const auto table = add("table", v * v, DType::kF32, Category::kParameter, true);
    const auto mean = add("exp_avg", v * v, DType::kF32, Category::kOptimizer, true);
    const auto square = add("exp_avg_sq", v * v, DType::kF32, Category::kOptimizer, true);
    const auto loss = add("loss", 1, DType::kF32, Category::kWorkspace, true);
    const auto norm = add("norm", 1, DType::kF32, Category::kWorkspace, true);
    const auto grad = add("grad", v * v, DType::kF32, Category::kGradient, false);
    const auto tokens = add("tokens", rows, DType::kI32, Category::kBatch, false);
    const auto targets = add("targets", rows, DType::kI32, Category::kBatch, false);
    const auto logits = add("logits", rows * v, DType::kF32, Category::kActivation, false);
    const auto sum = add("sum", 1, DType::kF64, Category::kWorkspace, false);
    const auto clip = add("clip", 1, DType::kF32, Category::kWorkspace, false);
    p_.parameters = {{.name = "table", .shape = {v, v}, .init_std = 0.5}};
    p_.state = {{.role = StateRole::kParameter, .home = table},
                {.role = StateRole::kExpAvg, .home = mean},
                {.role = StateRole::kExpAvgSq, .home = square}};
    p_.loss = loss;
    p_.grad_norm = norm;

    op(Fill{loss, 0});
    op(Alloc{grad.buffer});
    op(Fill{grad, 0});
    for (std::int64_t k = 0; k < job_.training.accumulation; ++k) {
      for (const Region& r : {tokens, targets, logits}) op(Alloc{r.buffer});
      op(LoadBatch{tokens, targets, k, job_.training.micro_batch, job_.data.seq_len});
      op(Embedding{tokens, table, {}, logits, rows, v, job_.data.seq_len, v});
      op(CrossEntropy{logits, targets, loss, rows, v, 1.0 / static_cast<double>(p_.tokens_per_step)});
      op(EmbeddingBackward{tokens, logits, grad, {}, rows, v, job_.data.seq_len, v});
      for (const Region& r : {logits, targets, tokens}) op(Free{r.buffer});
    }
    const OpId reduced = op(AllReduce{GroupId{0}, grad}, Lane::kReduce, {last()});
    const OpId summed = op(AllReduce{GroupId{0}, loss}, Lane::kReduce);
    op(Alloc{sum.buffer});
    op(Alloc{clip.buffer});
    op(Fill{sum, 0});
    op(SumSquares{grad, sum}, Lane::kCompute, {reduced, summed});
    op(ClipCoefficient{sum, norm, clip, 1.0});
    op(Adam{table, grad, mean, square, clip});
    for (const Region& r : {clip, sum, grad}) op(Free{r.buffer});
    return std::move(p_);
  }

 private:
  /// Every buffer has its own addresses: reuse is the lifetimes pass's business.
  Region add(const std::string& name, std::int64_t elements, DType dtype, Category category, bool persistent) {
    auto& end = p_.arena_bytes[static_cast<std::size_t>(Space::kDevice)];
    const BufferId id = p_.add_buffer({.name = name,
                                       .dtype = dtype,
                                       .elements = elements,
                                       .category = category,
                                       .persistent = persistent,
                                       .address = end});
    end += p_.buffer(id).bytes();
    return p_.whole(id);
  }
  OpId last() const { return OpId{static_cast<std::int32_t>(p_.instructions.size()) - 1}; }
  OpId op(Op op, Lane lane = Lane::kCompute, std::vector<OpId> after = {}) {
    p_.instructions.push_back({.op = std::move(op), .lane = lane, .label = {}, .after = std::move(after)});
    p_.instructions.back().label.name = p_.intern("bigram");
    return last();
  }

  const Job& job_;
  Program p_;
};

inline std::vector<Program> bigram_programs(const Job& job) {
  std::vector<Program> programs;
  for (int r = 0; r < job.parallel.ranks(); ++r) programs.push_back(BigramBuilder(job, r).build());
  return programs;
}

}  // namespace shardscope
