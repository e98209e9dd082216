#pragma once
// What each ZeRO stage would give, whether it is on the front or not, and what does not fit: the search (search.h) says
// what is best, this what was beaten.
//
//   for (const SurveyPoint& p : survey(request, {.counts = 8})) ...   // p.fits, p.point.plan.zero
//
// Of each candidate, on a few of its numbers of GPUs: for each stage the fastest plan that fits or, where none does,
// that of the least memory. Every plan of those numbers is estimated.

#include <functional>
#include <vector>

#include "simulator/planner/search.h"

namespace shardscope {

struct SurveyPoint {
  PlanPoint point;
  bool fits = false;  ///< device, host and drives
};

struct SurveyOptions {
  int counts = 8;              ///< numbers of GPUs of each candidate, evenly among those that a search tries
  std::function<bool()> stop;  ///< asked once a layout; true: what was found so far
};

std::vector<SurveyPoint> survey(const SearchRequest&, const SurveyOptions&);

}  // namespace shardscope
