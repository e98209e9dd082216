// fold_fills: "x = 0; x += y" becomes "x = y".
// Before: gradients start with Fill 0. After: the Fill is gone wherever the op that follows can overwrite instead.
// After zero, which decides where gradients start; before lifetimes, since buffers then live a little shorter.

#include <algorithm>

#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

/// What the op adds to, if it could as well overwrite; and the flag that says so.
struct Additions {
  std::vector<Region> targets;
  bool* accumulate = nullptr;
};

Additions additions_of(Op& op) {
  return std::visit(Overloaded{
                        [](MatMul& o) {
                          return Additions{{o.c}, &o.accumulate};
                        },
                        [](BiasGradient& o) {
                          return Additions{{o.d_bias}, &o.accumulate};
                        },
                        [](LayerNormBackward& o) {
                          return Additions{{o.d_weight, o.d_bias}, &o.accumulate};
                        },
                        [](RmsNormBackward& o) {
                          return Additions{{o.d_weight}, &o.accumulate};
                        },
                        [](auto&) { return Additions{}; },
                    },
                    op);
}

}  // namespace

void pass_fold_fills(Draft& draft) {
  std::vector<Instruction>& instructions = draft.program.instructions;
  std::vector<bool> folded(instructions.size(), false);
  std::vector<std::pair<Region, std::size_t>> pending;  // fills with 0 that nothing has touched yet
  const auto find = [&](const Region& r) {
    return std::find_if(pending.begin(), pending.end(), [&](const auto& fill) { return fill.first == r; });
  };
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    Op& op = instructions[i].op;
    const Additions add = additions_of(op);
    const bool all_start =
        add.accumulate != nullptr && *add.accumulate &&
        std::all_of(add.targets.begin(), add.targets.end(), [&](const Region& r) { return find(r) != pending.end(); });
    if (all_start) {
      for (const Region& r : add.targets) folded[find(r)->second] = true;
      *add.accumulate = false;
    }
    for_each_region(
        op, [&](Region& r) { std::erase_if(pending, [&](const auto& fill) { return fill.first.overlaps(r); }); });
    if (const auto* fill = std::get_if<Fill>(&op); fill != nullptr && fill->value == 0)
      pending.emplace_back(fill->dst, i);
  }
  std::size_t index = 0;
  std::erase_if(instructions, [&](const Instruction&) { return folded[index++]; });
}

}  // namespace shardscope
