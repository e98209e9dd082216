// inference_layers: the forward pass of a prefill or of one decoded token, on whole parameters.
// Before: groups and stages. After: a sequential program that loads tokens, keeps the keys and values of every layer in
// a cache that outlives it, and leaves each sequence's next token and its log-probability. The blocks are those of
// training (what their backward would need is freed after its last use here).

#include <fmt/format.h>

#include "core/program/passes/model_chunk.h"
#include "core/spec/inference_spec.h"

namespace shardscope {
namespace {

class InferenceBuilder {
 public:
  InferenceBuilder(Draft& draft, LayerBuilder& builder)
      : d_(draft), b_(builder), spec_(*draft.inference->spec), ends_(ends_of(spec_.model)) {}

  void run() {
    keep_outputs();
    KvCache cache = make_cache();
    load();
    if (!d_.inference->is_prefill) cache.starts = starts_;
    b_.use_cache(std::move(cache));
    Region x = embed();
    const auto blocks = make_blocks(b_);
    for (int layer = 0; layer < spec_.model.layers; ++layer) {
      b_.begin(Phase::kForward, layer);
      x = blocks->forward(layer, x);
    }
    b_.begin(Phase::kForward, -1);
    sample(logits(x));
  }

 private:
  Region persistent(const std::string& name, std::int64_t elements, DType dtype, Category category) {
    return d_.program.whole(d_.program.add_buffer({name, dtype, elements, category, Space::kDevice, true}));
  }

  void keep_outputs() {
    d_.program.next_tokens = persistent("next_tokens", b_.batch(), DType::kI32, Category::kBatch);
    d_.program.logprobs = persistent("logprobs", b_.batch(), DType::kF32, Category::kBatch);
  }

  KvCache make_cache() {
    KvCache cache{.capacity = spec_.capacity(), .context = d_.inference->context};
    const std::int64_t elements = b_.batch() * b_.kv_heads() * cache.capacity * spec_.model.head_dim;
    for (int layer = 0; layer < spec_.model.layers; ++layer) {
      cache.keys.push_back(persistent(fmt::format("cache.{}.k", layer), elements, d_.dtypes.model, Category::kCache));
      cache.values.push_back(persistent(fmt::format("cache.{}.v", layer), elements, d_.dtypes.model, Category::kCache));
    }
    return cache;
  }

  void load() {
    b_.begin(Phase::kLoad, -1);
    tokens_ = b_.temporary("tokens", b_.rows(), Category::kBatch, DType::kI32);
    starts_ = b_.temporary("starts", b_.batch(), Category::kBatch, DType::kI32);
    counts_ = b_.temporary("counts", b_.batch(), Category::kBatch, DType::kI32);
    b_.emit(LoadTokens{tokens_, starts_, counts_, b_.batch(), b_.seq()}, "tokens");
  }

  /// Prompts start at position 0, as sequences do in training. A decoded token's learned position is looked up by the
  /// place where it goes.
  Region embed() {
    b_.begin(Phase::kForward, -1);
    const bool learned = !ends_.positions.empty();
    const Region x = embed_tokens(b_, tokens_, d_.inference->is_prefill);
    if (d_.inference->is_prefill || !learned) return x;
    const std::int64_t rows = b_.rows(), hidden = spec_.model.hidden;
    const Region positions = b_.temporary("positions", rows * hidden), sum = b_.temporary("embedded.at", rows * hidden);
    b_.emit(
        Embedding{
            starts_, b_.value(ends_.positions + ".weight"), {}, positions, rows, hidden, 1, spec_.model.max_positions},
        ends_.positions);
    b_.emit(Add{x, positions, sum}, ends_.positions);
    return sum;
  }

  /// [batch, vocabulary], or of each tensor-parallel rank in turn its part of the vocabulary.
  Region logits(Region x) {
    if (d_.inference->is_prefill) {
      const Region last = b_.temporary("last", b_.batch() * spec_.model.hidden);
      b_.emit(LastRows{x, counts_, last, b_.batch(), b_.seq(), spec_.model.hidden}, ends_.norm);
      b_.go_on_with_last_rows();
      x = last;
    }
    const NormState norm = b_.norm(ends_.norm, x, "final_norm");
    const Region part = b_.statistic("logits", b_.batch() * b_.vocab().rows);
    b_.forward(head_of(b_), norm.out, part);
    return b_.all_parts(part, "logits.all");
  }

  void sample(Region logits) {
    const SamplingSpec& s = spec_.sampling;
    b_.emit(Sample{logits, starts_, counts_, d_.program.next_tokens, d_.program.logprobs, b_.batch(),
                   spec_.model.vocab_size, b_.tensor_ranks(), s.temperature, s.top_k, s.top_p},
            "sample");
  }

  Draft& d_;
  LayerBuilder& b_;
  const InferenceSpec& spec_;
  const ModelEnds ends_;
  Region tokens_, starts_, counts_;
};

}  // namespace

void pass_inference_layers(Draft& draft) {
  add_parameters(draft);
  LayerBuilder builder(draft, draft.program.instructions);
  InferenceBuilder(draft, builder).run();
  draft.program.tokens_per_step = builder.batch() * draft.inference->seq;
}

}  // namespace shardscope
