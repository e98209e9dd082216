#pragma once
// What a search's result must keep to, and, where nothing does, which wish stands in the way and what would do instead.
//
//   const Wishes wishes{.deadline_days = 30, .budget_usd = 2e6};
//   if (const std::string why = find_conflict(request, result, wishes); !why.empty()) throw Error(ErrorKind::kConfig,
//   why);

#include <optional>
#include <string>
#include <vector>

#include "simulator/planner/search.h"

namespace shardscope {

struct Wishes {
  std::optional<double> deadline_days, budget_usd;
  bool hold(const PlanPoint&) const;
};

/// One line that names the option to change and by how much, or nothing. May search larger clusters for it.
std::string find_conflict(const SearchRequest&, const SearchResult&, const Wishes&);

/// The points that keep to the wishes: these are the front of all plans that do.
std::vector<PlanPoint> keep(const std::vector<PlanPoint>&, const Wishes&);

std::string format_usd(double usd);    ///< "$1.23 M"
std::string format_days(double days);  ///< "12.3 days", "5.1 hours"

}  // namespace shardscope
