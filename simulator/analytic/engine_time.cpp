#include "simulator/analytic/engine_time.h"

#include <cmath>

namespace shardscope {
namespace {

/// Without overlap compute waits for a reduction, but for what travels beside the next part once it is packed.
/// `taken`: what a second of that costs the other's.
double waited(const ShardedPart& part, double cover, double taken, const ShardLanes& lanes) {
  if (lanes.leaves <= 0) return part.reduce;
  const double away = part.reduce - part.pack;
  return (1 - lanes.leaves) * part.reduce + lanes.leaves * (part.pack + std::max(away - cover, taken * away));
}

}  // namespace

AddedSeconds shown_shards(const ShardedPart& embedding, const ShardedPart& block, double blocks,
                          const ShardedPart& head, const ShardLanes& lanes) {
  // `fetch`: comes before the work, beside the cover too, and slows nobody.
  const auto both = [&](double work, double cover, const ShardedPart& part, double fetch, double crowding) {
    return std::max(fetch + work - cover + crowding * std::min(work, cover),
                    (lanes.slow * part.kernels + crowding) * work);
  };
  const auto ahead_of = [&](double work, double cover, const ShardedPart& part, double fetch) {
    return both(work, cover, part, fetch, part.crowding);
  };
  const auto beside = [&](double work, double cover, const ShardedPart& part, double fetch = 0) {
    return both(work, cover, part, fetch, part.crowding_back);
  };
  AddedSeconds t;
  t.forward =
      lanes.runs_ahead
          ? ahead_of(block.gather, embedding.forward, embedding, block.fetch) +
                (blocks - 1) * ahead_of(block.gather, block.forward, block, block.fetch) +
                ahead_of(head.gather, block.forward, block, head.fetch)
          : embedding.gather + embedding.fetch +
                blocks * std::max(0.0, waits_for_place(block.gather + block.fetch, block.unpack, block.forward) -
                                           lanes.tail) +
                waits_for_place(head.gather + head.fetch, head.unpack, block.forward);
  const double middle = lanes.together(block.regather, block.reduce),
               first = lanes.together(blocks > 1 ? block.regather : 0, head.reduce);
  if (!lanes.overlap) {  // compute waits for each reduction; the next gather runs beside it where memory has room
    const double fetch = block.unpack > 0 ? 0 : block.refetch,
                 place = waits_for_place(block.regather + block.refetch - fetch, block.unpack, block.backward);
    const double taken = lanes.slow * block.kernels + block.crowding_back;
    const auto waits = [&](const ShardedPart& part) { return waited(part, block.backward, taken, lanes); };
    const double reduce = waits(block), inside = 0.5 * (lanes.together(place, reduce) + place + reduce);
    t.backward = place + lanes.together(blocks > 1 ? place : 0, waits(head)) + (blocks - 1) * inside + block.reduce +
                 embedding.reduce + blocks * fetch;
    return t;
  }
  const double ahead = beside(block.regather, head.forward + head.backward, head, block.refetch) +
                       beside(first, block.backward, block, blocks > 1 ? block.refetch : 0) +
                       std::max(0.0, blocks - 2) * beside(middle, block.backward, block, block.refetch) +
                       (blocks > 1 ? beside(block.reduce, block.backward, block) : 0) +
                       beside(block.reduce, embedding.backward, embedding);
  if (!lanes.waits) return {t.forward, ahead};
  if (!lanes.apart) {
    // A gather is waited for, not the reduction that it shares links with.
    const double again = block.refetch + lanes.together(block.regather, std::min(block.regather, block.reduce));
    t.forward = std::max(1.0, blocks - 1) * (block.gather + block.fetch) + head.gather + head.fetch;
    t.backward = beside(block.regather, head.forward + head.backward, head, block.refetch) +
                 std::max(0.0, blocks - 1) * beside(again, lanes.first_product, block) +
                 beside(block.reduce, embedding.backward, embedding);
    return t;
  }
  const double place = waits_for_place(block.regather + block.refetch, block.unpack, block.backward);
  const auto after = [&](double reduce) { return std::max(place, lanes.share * (place + std::min(place, reduce))); };
  const double waiting = place + (blocks > 1 ? after(head.reduce) : 0) +
                         std::max(0.0, blocks - 2) * after(block.reduce) +
                         (blocks - 1) * beside(block.reduce, block.backward + place, block) +
                         beside(block.reduce, embedding.backward, embedding);
  t.backward = waiting;
  return t;
}

namespace {

/// shown_experts() without overlap: nothing but messages in int8 and int4 hides.
AddedSeconds waited_experts(const ShardedPart& rest, const ShardedPart& experts, bool again, const ShardLanes& lanes) {
  const auto fetched = [](const ShardedPart& part, double cover, double gather, double fetch) {
    return part.unpack > 0 ? waits_for_place(fetch + gather, part.unpack, cover) : fetch + gather;
  };
  const auto both = [&](const ShardedPart& part, double cover) {
    const double fetch = part.unpack > 0 ? 0 : part.refetch,
                 gather = fetched(part, cover, part.regather, part.refetch - fetch);
    return fetch + lanes.together(gather, waited(part, cover, lanes.slow * part.kernels, lanes));
  };
  AddedSeconds t;
  t.forward = fetched(experts, rest.forward, experts.gather, experts.fetch) +
              fetched(rest, experts.forward, rest.gather, rest.fetch);
  const double first = again ? rest.forward : 0;
  t.backward = both(rest, experts.backward);
  if (!again) {
    t.backward += both(experts, rest.backward);
    return t;
  }
  t.backward += fetched(rest, rest.backward - first, rest.regather, rest.refetch) +
                fetched(experts, first, experts.regather, experts.refetch) +
                waited(experts, rest.backward - first, lanes.slow * rest.kernels, lanes);
  return t;
}

}  // namespace

AddedSeconds shown_experts(const ShardedPart& rest, const ShardedPart& experts, bool again, const ShardLanes& lanes) {
  const auto beside = [&](double work, double cover, const ShardedPart& part, double fetch) {
    return std::max(fetch + work - cover, lanes.slow * part.kernels * work);
  };
  if (!lanes.overlap) return waited_experts(rest, experts, again, lanes);
  AddedSeconds t;
  t.forward = beside(experts.gather, rest.forward, rest, experts.fetch) +
              beside(rest.gather, experts.forward, experts, rest.fetch);
  // Backward of experts hides the reduction of the block behind and the gather of the rest; that of the rest, the
  // experts' reduction and the gather of the next block's.
  const double first = again ? rest.forward : 0;
  t.backward = beside(lanes.together(rest.regather, rest.reduce), experts.backward, experts, rest.refetch) +
               (again ? beside(rest.regather, rest.backward - first, rest, rest.refetch) +
                            beside(experts.regather, first, rest, experts.refetch) +
                            beside(experts.reduce, rest.backward - first, rest, 0)
                      : beside(lanes.together(experts.regather, experts.reduce), rest.backward, rest, experts.refetch));
  return t;
}

double shown_reductions(const Reductions& r, double micro_batches) {
  const Buckets& b = r.buckets;
  const double times = r.each ? micro_batches : 1;
  const double middle = std::max(0.0, b.count - 2);
  const double all = b.count > 1 ? r.first + middle * r.between + r.last : r.last;
  if (!r.overlap) return times * all;
  if (b.count <= 1) return r.last + (times - 1) * added(r.last, r.forward + r.backward, r.slow);
  if (!r.each) {  // nobody waits for them: bound by the last bucket, or by all of them since the first is complete
    const double cover = r.backward * (1 - b.first.work);
    return std::max(r.last + r.slow * std::min(all - r.last, cover), all - cover);
  }
  const double next = b.between.work * r.backward, end = b.last.work * r.backward;
  const double inside = middle > 0 ? added(r.first, next, r.slow) + (middle - 1) * added(r.between, next, r.slow) +
                                         added(r.between, end, r.slow)
                                   : added(r.first, end, r.slow);
  return times * inside + (times - 1) * added(r.last, r.forward + b.first.work * r.backward, r.slow) + r.last;
}

}  // namespace shardscope
