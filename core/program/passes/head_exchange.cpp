#include "core/program/passes/head_exchange.h"

namespace shardscope {
namespace {

std::int64_t width_of(std::span<const HeadColumns> matrices) {
  std::int64_t width = 0;
  for (const HeadColumns& m : matrices) width += m.width;
  return width;
}

}  // namespace

HeadExchange::HeadExchange(LayerBuilder& builder) : b_(builder) {
  const Draft& draft = b_.draft();
  if (draft.ulysses_group.valid()) ranks_ = draft.program.group(draft.ulysses_group).size();
}

Region HeadExchange::to_heads(const std::string& module, const std::string& name, std::span<const HeadColumns> from) {
  const std::int64_t rows = b_.rows(), width = width_of(from), slice = rows * width;
  const Region sent = scratch(name + ".send", ranks_ * slice);
  std::int64_t at = 0;
  for (const HeadColumns& m : from) {
    const Region to = sent.part(at, (ranks_ - 1) * slice + (rows - 1) * width + m.width);
    b_.emit(CopyRows{m.matrix, to, rows, m.width, m.stride, width, ranks_, m.width, slice}, module);
    at += m.width;
  }
  const Region heads = b_.temporary(name + ".heads", ranks_ * slice);
  const Region got = b_.batch() == 1 ? heads : scratch(name + ".received", ranks_ * slice);
  b_.emit(AllToAll{b_.draft().ulysses_group, sent, got}, module, Lane::kContext);
  if (b_.batch() > 1) regroup(module, got, heads, false);
  return heads;
}

void HeadExchange::to_rows(const std::string& module, const std::string& name, Region heads,
                           std::span<const HeadColumns> to) {
  const std::int64_t rows = b_.rows(), width = width_of(to), slice = rows * width;
  const Region sent = b_.batch() == 1 ? heads : scratch(name + ".send", ranks_ * slice);
  if (b_.batch() > 1) regroup(module, heads, sent, true);
  const Region got = scratch(name + ".received", ranks_ * slice);
  b_.emit(AllToAll{b_.draft().ulysses_group, sent, got}, module, Lane::kContext);
  std::int64_t at = 0;
  for (const HeadColumns& m : to) {
    const Region from = got.part(at, (ranks_ - 1) * slice + (rows - 1) * width + m.width);
    b_.emit(CopyRows{from, m.matrix, rows, m.width, width, m.stride, ranks_, slice, m.width}, module);
    at += m.width;
  }
}

void HeadExchange::regroup(const std::string& module, Region from, Region to, bool back) {
  const std::int64_t batch = b_.batch(), piece = from.count / (batch * ranks_);
  CopyRows op{from, to, batch, piece, piece, ranks_ * piece, ranks_, batch * piece, piece};
  if (back) {
    std::swap(op.src_stride, op.dst_stride);
    std::swap(op.src_block, op.dst_block);
  }
  b_.emit(op, module);
}

}  // namespace shardscope
