#include "simulator/calibrate/cost_key.h"

#include <fmt/format.h>

#include <algorithm>

#include "simulator/cost/op_family.h"

namespace shardscope {

namespace {

using Model = CostKey::Model;

std::string typed(const std::string& name, DType dtype) {
  return dtype == DType::kF32 ? name : name + ":" + std::string(to_string(dtype));
}

CostPlace product_place(const MatMul& op, DType dtype, int threads) {
  const MatMulPoint point{threads,
                          static_cast<double>(op.m),
                          static_cast<double>(op.n),
                          static_cast<double>(op.k),
                          op.trans_a,
                          op.trans_b,
                          op.accumulate,
                          0,
                          dtype};
  const std::string name =
      fmt::format("matmul{}{}{}", op.trans_a ? ":ta" : "", op.trans_b ? ":tb" : "", op.accumulate ? ":acc" : "");
  return {{Model::kMatMul, typed(name, dtype), threads}, std::max(point.m * point.n * point.k, 1.0), point};
}

template <class Op>
std::optional<CostPlace> attention_place(const Op& op, DType dtype, int threads) {
  constexpr bool kBackward = std::is_same_v<Op, AttentionBackward>;
  const auto seq = static_cast<double>(op.seq), dim = static_cast<double>(op.head_dim);
  if (visible_pairs(op.span, op.seq) != seq * (seq + 1) / 2) return std::nullopt;
  const AttentionPoint point{threads,
                             kBackward,
                             static_cast<double>(op.batch),
                             seq,
                             static_cast<double>(op.heads),
                             static_cast<double>(op.kv_heads),
                             dim,
                             0,
                             dtype};
  const std::string name = kBackward ? "attention_backward" : "attention";
  return CostPlace{
      {Model::kAttention, typed(name, dtype), threads}, point.heads / point.kv_heads * seq * seq * dim, point};
}

std::optional<CostPlace> collective_place(const Program& program, const Op& op) {
  int ranks = 1;
  std::visit(
      [&](const auto& o) {
        if constexpr (is_collective<std::decay_t<decltype(o)>>) ranks = program.group(o.group).size();
      },
      op);
  const auto bytes = static_cast<double>(collective_bytes(program, op));
  if (ranks < 2 || bytes <= 0) return std::nullopt;
  return CostPlace{{Model::kCollective, typed(std::string(op_name(op)), speed_dtype(program, op)), ranks}, bytes, {}};
}

}  // namespace

std::string CostKey::text() const {
  if (model == Model::kDrive) return name;
  return fmt::format("{}, {} {}{}", name, width, model == Model::kCollective ? "rank" : "thread",
                     width == 1 ? "" : "s");
}

std::optional<CostPlace> cost_place(const Program& program, const Instruction& instruction, const HostCosts& costs) {
  const Op& op = instruction.op;
  const int threads = costs.threads_of(instruction.lane);
  const DType dtype = speed_dtype(program, op);
  const auto on_drive = [&](const Region& moved) {
    return CostPlace{{Model::kDrive, std::string(op_name(op)), 1}, static_cast<double>(program.bytes(moved)), {}};
  };
  if (is_communication(op)) return collective_place(program, op);
  if (const auto* read = std::get_if<NvmeRead>(&op)) return on_drive(read->src);
  if (const auto* write = std::get_if<NvmeWrite>(&op)) return on_drive(write->dst);
  if (const auto work = family_work(program, op)) {
    return CostPlace{{Model::kFamily, work->family, threads}, std::max(work->work, 1.0), {}};
  }
  if (thin_product(program, op)) return std::nullopt;
  if (const auto* product = std::get_if<MatMul>(&op); product != nullptr && product->in_fp8()) return std::nullopt;
  if (const auto* product = std::get_if<MatMul>(&op)) return product_place(*product, dtype, threads);
  if (const auto* forward = std::get_if<Attention>(&op)) return attention_place(*forward, dtype, threads);
  if (const auto* backward = std::get_if<AttentionBackward>(&op)) return attention_place(*backward, dtype, threads);
  return std::nullopt;
}

}  // namespace shardscope
