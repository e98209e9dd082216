#pragma once
// Which tokens of each sequence a rank has when `cp` ranks share it. The ring places (cp / ulysses of them) cut a
// sequence into 2 * ring stretches, of which place r holds number r and, from the other end, number 2 * ring - 1 - r:
// early tokens see few keys and late ones many, so each place has the same work. The `ulysses` neighbours of a place
// share its tokens out in order.
//
//   const SequencePart part = rank_part(/*seq=*/4096, {.ring = 4, .place = 1, .ulysses = 2, .neighbour = 0});

#include <cstdint>

#include "core/program/ops.h"
#include "core/spec/job.h"

namespace shardscope {

struct SequencePlace {
  std::int64_t ring = 1, place = 0, ulysses = 1, neighbour = 0;
};

/// The tokens of a ring place: seq / ring of them.
SequencePart ring_part(std::int64_t seq, std::int64_t ring, std::int64_t place);
/// The tokens of one rank: seq / (ring * ulysses) of them.
SequencePart rank_part(std::int64_t seq, const SequencePlace& at);

/// Throws Error{kConfig} if the sequence or the model's heads do not divide.
void check_sequence_parallel(const Job& job);

}  // namespace shardscope
