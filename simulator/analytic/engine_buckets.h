#pragma once
// The buckets in which our own engine reduces gradients under ZeRO-0 to 2: tensors of a stage from last to first, each
// whole in one bucket (core/program/passes/zero_plan.cpp).
//
//   BucketMaker buckets(model, 500'000'000);
//   buckets.of(stage, tp, ep).count

#include <cstdint>
#include <unordered_map>

#include "simulator/analytic/stages.h"

namespace shardscope {

/// Parameters, and the part of backward that has to run for them after the bucket before.
struct Bucket {
  double parameters = 0, work = 0;
};

/// In the order of backward. `between`: the mean of the others; reducing is so many times a start and all bytes.
struct Buckets {
  Bucket first, between, last;
  double count = 1;
  double dealt_out = 0;  ///< parameters of experts that other ranks do not have, apart
  double all() const {
    return count > 1 ? first.parameters + (count - 2) * between.parameters + last.parameters : last.parameters;
  }
};

/// Of these sizes; the last ones, `idle` together, come out of backward without work (embeddings).
Buckets buckets_of(const std::vector<double>& tensors, double idle, double largest);

class BucketMaker {
 public:
  BucketMaker(const ModelSpec& model, std::int64_t largest) : model_(model), largest_(static_cast<double>(largest)) {}

  /// Allocates when a stage, tp and ep are first met. Experts that are dealt out (ep > 1) have buckets of their own,
  /// which are not among these: their sum is `dealt_out`.
  const Buckets& of(const Stage&, int tp, int ep);

 private:
  ModelSpec model_;
  double largest_ = 0;
  std::unordered_map<std::uint64_t, Buckets> known_;
};

}  // namespace shardscope
