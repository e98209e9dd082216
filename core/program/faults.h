#pragma once
// What verify.cpp and match.cpp share: a bounded list of faults.

#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// Collects sentences, up to as many as are of use.
struct Fault {
  static constexpr std::size_t kMax = 100;
  std::vector<std::string>& list;
  template <class... T>
  void operator()(fmt::format_string<T...> text, T&&... values) {
    if (list.size() < kMax) list.push_back(fmt::format(text, std::forward<T>(values)...));
  }
};

/// The group an op communicates in, if it does.
inline std::optional<GroupId> group_of(const Op& op) {
  return std::visit(
      [](const auto& o) -> std::optional<GroupId> {
        if constexpr (is_collective<std::decay_t<decltype(o)>>) return o.group;
        return std::nullopt;
      },
      op);
}

}  // namespace shardscope
