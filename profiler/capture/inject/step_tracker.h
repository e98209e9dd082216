#pragma once
// When the watched process steps, by the NVTX ranges that it opens: so that chosen steps can be recorded from their
// first moment to their last, and every step is known by its time whatever else is recorded.
//
//   step_range_pushed(text);   // before the record of the range is written
//   step_range_popped();       // after that of its end
//
// A step is a range called "step 3" or "train_step" (profiler/capture/step_name.h). Where no such range was seen, a
// step ends where an optimizer's range does and begins where the one before ended: the first is then no whole step.
//
// Costs nothing unless SpoolHeader::watch_steps is set.

#include <cstdint>

namespace shardscope::capture {

/// Ranges of the default domain, on the calling thread. `text` may be null.
void step_range_pushed(const char* text);
void step_range_popped();
/// Ranges that begin and end anywhere, by the id that NVTX's caller holds.
void step_range_started(const char* text, std::uint64_t range);
void step_range_ended(std::uint64_t range);

}  // namespace shardscope::capture
