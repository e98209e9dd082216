#pragma once
// CUPTI's activity records as records of ours. Done in the watched process, away from its threads, because names are
// pointers into it.
//
//   DecodeCounts counts = decode_activities(spool, buffer, valid_bytes, {get_next_record, name_of_call,
//   name_of_kernel});

#include <cupti.h>

#include "profiler/capture/inject/spool_writer.h"

namespace shardscope::capture {

/// What decoding asks of CUPTI and of the process; tests give their own.
struct DecodeCalls {
  CUptiResult (*next_record)(std::uint8_t* buffer, std::size_t valid, CUpti_Activity** record) = nullptr;
  const char* (*call_name)(bool driver, std::uint32_t number) = nullptr;
  /// Of a kernel or a device; the pointer is CUPTI's, valid in the process that recorded it.
  const char* (*text)(const char* name) = nullptr;
};

struct DecodeCounts {
  std::int64_t records = 0;  ///< met
  std::int64_t kept = 0;     ///< written to the spool
  std::int64_t unknown = 0;  ///< of kinds that are not ours: not an error
  std::int64_t untimed = 0;  ///< work of the device without times, which CUPTI gives as 0
};

DecodeCounts decode_activities(Spool& spool, std::uint8_t* buffer, std::size_t valid, const DecodeCalls& calls);

}  // namespace shardscope::capture
