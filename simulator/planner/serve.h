#pragma once
// Serving: how many GPUs of which kind answer so many requests a second within a latency, and what a million tokens
// cost. A roofline on the constants of the training model: prefill bound by FLOPs, decode by reading weights and the
// cache.
//
//   ServeTable table = plan_serving({.model = m, .prompt = 2000, .output = 300, .rps = 10, .latency_s = 20}, targets);
//
// A replica of tp GPUs keeps `batch` requests going; each takes its prefill alone, then one step of decode per token
// together with the others: batch requests per batch * prefill + output * decode seconds, which is also how long each
// stays (Little's law). Replicas run at most at kServeLoad of that. Left out: queues in bursts, speculative decoding,
// shared prefixes, chunks of prefill beside decode.

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/analytic/estimate.h"

namespace shardscope {

inline constexpr double kServeLoad = 0.8;  ///< guess: what leaves room for uneven arrivals

struct ServeRequest {
  ModelSpec model;
  Arithmetic arithmetic = Arithmetic::kBf16;  ///< of weights and products; the cache is bf16
  std::int64_t prompt = 0, output = 0;        ///< tokens
  double rps = 0, latency_s = 0;              ///< of a whole answer
};

struct ServeTarget {
  Target target;
  double usd_per_gpu_hour = 0;
  int most_gpus = 0;  ///< 0: as many as it takes
};

struct ServePlan {
  std::size_t target = 0;
  int tp = 1, replicas = 1;
  std::int64_t batch = 1;
  double prefill_s = 0, decode_step_s = 0, latency_s = 0;  ///< first token; each further one; whole answer
  double rps = 0;                                          ///< that the replicas can take
  double weight_bytes = 0, cache_bytes = 0;                ///< per GPU
  double usd_per_million = 0;                              ///< output tokens, at the rate asked for
  int gpus() const { return tp * replicas; }
};

struct ServeTable {
  std::vector<ServePlan> plans;  ///< the cheapest of each target and tp that meets the latency, cheapest first
  std::string problem;           ///< if there are none: what blocks, and the nearest that is possible
};

ServeTable plan_serving(const ServeRequest&, const std::vector<ServeTarget>&);

/// Bytes of keys and values of one token, all layers, in bf16, that one of tp ranks keeps.
double cache_bytes_per_token(const ModelSpec&, int tp);

}  // namespace shardscope
