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
  return p.offload == Offload::kNone ? text : text + " " + std::string(to_string(p.offload));
}

}  // namespace shardscope
