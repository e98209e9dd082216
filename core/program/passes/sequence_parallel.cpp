#include "core/program/passes/sequence_parallel.h"

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

void check_heads(const Job& job, std::int64_t heads, const char* what) {
  const int tp = job.parallel.tp, ulysses = job.parallel.ulysses;
  if (heads / tp % ulysses == 0) return;
  throw Error(ErrorKind::kConfig,
              fmt::format("parallel.ulysses: is {}; it must divide the {} {} that a rank of model {} has (a ring, of "
                          "cp / ulysses ranks, has no such limit)",
                          ulysses, heads / tp, what, job.model.name));
}

}  // namespace

SequencePart ring_part(std::int64_t seq, std::int64_t ring, std::int64_t place) {
  if (ring == 1) return {};
  const std::int64_t stretch = seq / (2 * ring);
  return {place * stretch, 2 * (ring - 1 - place) * stretch};
}

SequencePart rank_part(std::int64_t seq, const SequencePlace& at) {
  const SequencePart all = ring_part(seq, at.ring, at.place);
  const std::int64_t rows = seq / at.ring, own = rows / at.ulysses, first = at.neighbour * own;
  const std::int64_t start = all.position(first, rows), last = all.position(first + own - 1, rows);
  return {start, last - start - (own - 1)};
}

void check_sequence_parallel(const Job& job) {
  const ParallelSpec& p = job.parallel;
  if (p.cp == 1) return;
  const std::int64_t ring = p.cp / p.ulysses, seq = job.data.seq_len;
  const std::int64_t parts = ring > 1 ? 2 * p.cp : p.ulysses;
  if (seq % parts != 0) {
    throw Error(ErrorKind::kConfig,
                fmt::format("data.seq_len: is {}; {} ranks share a sequence (parallel.cp){}, so it must be a multiple "
                            "of {}",
                            seq, p.cp, ring > 1 ? ", each with early and late tokens" : "", parts));
  }
  check_heads(job, job.model.heads, "attention heads");
  check_heads(job, job.model.kv_heads, "key/value heads");
}

}  // namespace shardscope
