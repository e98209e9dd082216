#pragma once
// CUPTI in the watched process: which activities are on, and where their buffers go. One of it.
//
//   if (start_cupti(spool)) { ... flush_cupti(false) every 100 ms; flush_cupti(true) at the end ... }

#include <cstdint>
#include <string>

#include "profiler/capture/inject/spool_writer.h"

namespace shardscope::capture {

/// Loads the CUPTI that the process has, else the system's, and switches on what the spool asks for. False if there is
/// none, it is too old, or another tool holds it: the reason is in the spool (a GapRecord).
bool start_cupti(Spool& spool);

/// Switches activities on and off to match SpoolHeader::enabled.
void match_sources(Spool& spool);

/// Decodes what CUPTI has given back; asks for all that is complete first, with `everything` also for what is not.
void flush_cupti(Spool& spool, bool everything);

/// After fork(): the child has no CUDA and none of our buffers.
void forget_cupti();

}  // namespace shardscope::capture
