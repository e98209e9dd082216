#pragma once
// Random small generations for property tests: any mix that the engine runs, with models of a few thousand parameters
// and weights large enough that tokens differ in probability.

#include <rapidcheck.h>

#include <ostream>
#include <vector>

#include "core/engine/sequence_batch.h"
#include "core/spec/inference_spec.h"
#include "tests/random_job.h"

namespace shardscope {

struct InferenceChoice {
  JobChoice model;
  int tp = 1, new_tokens = 1, weights = 0;  ///< weights: WeightFormat
  std::vector<int> prompts{1};              ///< lengths
  int seed = 1;
};

inline std::ostream& operator<<(std::ostream& out, const InferenceChoice& c) {
  return out << fmt::format("{{tp={}, new_tokens={}, weights={}, prompts={}, seed={}, model=", c.tp, c.new_tokens,
                            c.weights, fmt::join(c.prompts, "+"), c.seed)
             << c.model << "}";
}

inline InferenceSpec spec_of(const InferenceChoice& c) {
  InferenceSpec spec{.model = model_of(c.model), .tp = c.tp, .new_tokens = c.new_tokens};
  spec.model.init_std = 0.3;
  spec.model.router_aux_coefficient = 0;  // so that training's loss is that of the tokens alone
  spec.batch = static_cast<std::int64_t>(c.prompts.size());
  spec.prompt = *std::max_element(c.prompts.begin(), c.prompts.end());
  spec.weights = static_cast<WeightFormat>(c.weights);
  return spec;
}

inline std::vector<Tokens> prompts_of(const InferenceChoice& c) {
  std::vector<Tokens> prompts;
  auto next = static_cast<std::uint64_t>(c.seed);
  for (const int length : c.prompts) {
    Tokens& prompt = prompts.emplace_back();
    for (int i = 0; i < length; ++i) {
      next = next * 6364136223846793005U + 1442695040888963407U;
      prompt.push_back(static_cast<std::int32_t>((next >> 33U) % static_cast<std::uint64_t>(c.model.vocab)));
    }
  }
  return prompts;
}

inline rc::Gen<InferenceChoice> gen_inference() {
  return rc::gen::exec([] {
    InferenceChoice c;
    c.model.llama = *rc::gen::arbitrary<bool>();
    c.model.layers = *rc::gen::inRange(1, 4);
    c.model.heads = *rc::gen::element(1, 2, 4);
    c.model.kv_divisor = c.model.heads == 1 ? 1 : *rc::gen::element(1, 2);
    c.model.head_dim = *rc::gen::element(4, 6, 8, 16);
    c.model.mlp = *rc::gen::element(8, 20, 32);
    c.model.vocab = *rc::gen::element(11, 64, 97);
    c.model.tied = *rc::gen::inRange(0, 2);
    if (c.model.heads / c.model.kv_divisor >= 2) c.tp = *rc::gen::inRange(1, 3);
    if (c.model.llama && *rc::gen::element(0, 1) == 1) {
      c.model.experts = *rc::gen::element(4, 2, 3);
      c.model.top_k = *rc::gen::element(1, 2);
    }
    c.weights = *rc::gen::inRange(0, 4);
    c.new_tokens = *rc::gen::inRange(1, 13);
    const int batch = *rc::gen::inRange(1, 5);
    c.prompts.clear();
    for (int i = 0; i < batch; ++i) c.prompts.push_back(*rc::gen::inRange(1, 20));
    c.seed = *rc::gen::inRange(1, 1000);
    return c;
  });
}

}  // namespace shardscope
