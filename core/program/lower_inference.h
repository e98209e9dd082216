#pragma once
// From an inference to the two programs of one rank: prefill reads the prompts and leaves keys and values in the cache,
// decode adds a token to each sequence. Both choose the next tokens (core/program/lower_inference.cpp lists the
// passes).
//
//   const InferencePrograms programs = lower_inference(spec, /*rank=*/0);
//   arena(programs.prefill); ... arena.serve(programs.decode);

#include <cstdint>

#include "core/program/program.h"
#include "core/spec/inference_spec.h"

namespace shardscope {

/// Weights, cache and outputs are the same buffers at the same addresses in both programs, so one arena serves both:
/// arena_bytes is what the larger one needs. A step of decode works on sequences of any length (a place in the cache
/// comes with the tokens), but what it costs is told for one.
struct InferencePrograms {
  Program prefill, decode;
};

/// `context`: places of the cache that a decoded token is expected to see, for costs; 0: the mean over all new tokens.
/// Throws Error{kUnsupported} naming what this version does not run, Error{kConfig} for illegal mixes.
InferencePrograms lower_inference(const InferenceSpec& spec, int rank, std::int64_t context = 0);

/// What a rank's memory reaches over both programs: of each number the larger.
MemoryPeak compute_memory_peak(const InferencePrograms& programs);
MemoryPeak larger_of(const MemoryPeak& a, const MemoryPeak& b);

}  // namespace shardscope
