#pragma once
// How full a job's fullest device gets, of jobs of any size and without a clock: what predict() says of it.
//
//   suggest_fit(job, limit, folded_device_peak)
//
// Equal to peak_device_bytes() (core/engine/suggest_fit.h), which lowers whole programs: tests/fold_test.cpp.

#include <cstdint>

#include "core/spec/job.h"

namespace shardscope {

/// Of one rank per pipeline stage, up to one that needs more than `enough`: then it is that one's. Throws as lower().
std::int64_t folded_device_peak(const Job& job, std::int64_t enough = INT64_MAX);

}  // namespace shardscope
