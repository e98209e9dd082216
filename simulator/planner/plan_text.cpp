#include "simulator/planner/plan_text.h"

#include <fmt/format.h>

#include "simulator/planner/space.h"

namespace shardscope {

std::string layout_text(const Plan& p) {
  std::string text = fmt::format("dp {}", p.dp);
  const auto add = [&](const char* name, int size) {
    if (size > 1) text += fmt::format(" {} {}", name, size);
  };
  add("tp", p.tp);
  if (p.sp) text += "+sp";
  add("pp", p.pp);
  if (p.vpp > 1) text += fmt::format("x{}", p.vpp);
  add("cp", p.cp), add("ulysses", p.ulysses), add("ep", p.ep);
  return text;
}

std::string zero_text(const Plan& p) {
  std::string text = fmt::format("{}", p.zero);
  if (p.shard > 0) text += fmt::format("/{}", p.shard);
  if (p.hpz > 1) text += fmt::format(" hpz {}", p.hpz);
  if (p.quantized_weights) text += " qwz";
  if (p.quantized_gradients) text += " qgz";
  return p.offload == Offload::kNone ? text : text + " " + std::string(to_string(p.offload));
}

std::string format_amount(double value) {
  return value >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

std::string format_tokens(double tokens) {
  if (tokens >= 1e12) return fmt::format("{:.6g} T", tokens / 1e12);
  return tokens >= 1e9 ? fmt::format("{:.4g} B", tokens / 1e9) : fmt::format("{:.4g} M", tokens / 1e6);
}

}  // namespace shardscope
