#include "simulator/calibrate/probe_ops.h"

#include <algorithm>

#include "simulator/cost/op_family.h"
#include "simulator/cost/thin_products.h"

namespace shardscope {

namespace {

constexpr std::int64_t kHidden = 256, kVocab = 2048, kSeq = 128, kHeadDim = 32, kExperts = 8, kTopK = 2;

// About `elements` in rows of `width`.
std::int64_t rows_of(std::int64_t elements, std::int64_t width) { return std::max<std::int64_t>(1, elements / width); }

Op make_embedding(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  return Embedding{p.tokens(rows, kVocab),
                   p.values(kVocab * kHidden),
                   p.values(kSeq * kHidden),
                   p.values(rows * kHidden),
                   rows,
                   kHidden,
                   kSeq,
                   kVocab};
}

Op make_embedding_backward(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  return EmbeddingBackward{p.tokens(rows, kVocab),
                           p.values(rows * kHidden),
                           p.values(kVocab * kHidden),
                           p.values(kSeq * kHidden),
                           rows,
                           kHidden,
                           kSeq,
                           kVocab};
}

Op make_layer_norm(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  const std::int64_t n = rows * kHidden;
  return LayerNorm{p.values(n), p.values(kHidden), p.values(kHidden), p.values(n), p.floats(rows), p.floats(rows), rows,
                   kHidden};
}

Op make_layer_norm_backward(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  const std::int64_t n = rows * kHidden;
  return LayerNormBackward{
      p.values(n),       p.values(n), p.values(kHidden), p.floats(rows), p.floats(rows), p.values(n), p.values(kHidden),
      p.values(kHidden), rows,        kHidden,           false,          false};
}

Op make_rms_norm(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  const std::int64_t n = rows * kHidden;
  return RmsNorm{p.values(n), p.values(kHidden), p.values(n), p.floats(rows), rows, kHidden};
}

Op make_rms_norm_backward(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  const std::int64_t n = rows * kHidden;
  return RmsNormBackward{p.values(n),       p.values(n), p.values(kHidden), p.floats(rows), p.values(n),
                         p.values(kHidden), rows,        kHidden,           false,          false};
}

Op make_bias_gradient(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  return BiasGradient{p.values(rows * kHidden), p.values(kHidden), rows, kHidden, false};
}

Op make_rope(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  return Rope{p.values(rows * kHidden), rows, kHidden / kHeadDim, kHeadDim, kSeq};
}

Op make_cross_entropy(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kVocab);
  return CrossEntropy{p.values(rows * kVocab), p.tokens(rows, kVocab), p.floats(1), rows, kVocab, 1e-3};
}

Op make_row_max(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kVocab);
  return RowMax{p.values(rows * kVocab), p.floats(rows), rows, kVocab, kVocab};
}

Op make_shifted_exp(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kVocab);
  return ShiftedExp{p.values(rows * kVocab),
                    p.floats(rows),
                    p.tokens(rows, kVocab),
                    p.floats(2 * rows),
                    rows,
                    kVocab,
                    kVocab,
                    0,
                    kVocab};
}

Op make_sharded_cross_entropy(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kVocab);
  return ShardedCrossEntropy{
      p.values(rows * kVocab), p.floats(2 * rows), p.tokens(rows, kVocab), p.floats(1), rows, kVocab, kVocab, 0, 1e-3};
}

Op make_rope_at(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden);
  return RopeAt{p.values(rows * kHidden), p.tokens(rows, kSeq), rows, kHidden / kHeadDim, kHeadDim};
}

Op make_append_cache(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden), n = rows * kHidden;
  return AppendCache{p.values(n), p.values(n),        {},       p.values(n), p.values(n), 1,
                     rows,        kHidden / kHeadDim, kHeadDim, kHidden,     rows};
}

// `elements` of keys and as many of values, in heads as wide as those of real models.
Op make_cached_attention(ProbeProgram& p, std::int64_t elements) {
  constexpr std::int64_t kHeads = 4, kWide = 64;
  const std::int64_t places = rows_of(elements, kHeads * kWide), n = places * kHeads * kWide;
  return CachedAttention{p.values(kHeads * kWide),
                         p.integers(1, static_cast<std::int32_t>(places - 1)),
                         p.values(n),
                         p.values(n),
                         p.values(kHeads * kWide),
                         1,
                         1,
                         kHeads,
                         kHeads,
                         kWide,
                         kHeads * kWide,
                         places,
                         places};
}

Op make_last_rows(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t batch = rows_of(elements, kHidden), seq = 2;
  return LastRows{
      p.values(batch * seq * kHidden), p.integers(batch, seq), p.values(batch * kHidden), batch, seq, kHidden};
}

Op make_sample(ProbeProgram& p, std::int64_t elements, bool drawn) {
  const std::int64_t batch = rows_of(elements, kVocab);
  Sample op{p.floats(batch * kVocab),
            p.integers(batch, 1),
            p.integers(batch, 1),
            p.integers(batch, 0),
            p.floats(batch),
            batch,
            kVocab};
  if (drawn) op.temperature = 0.8, op.top_k = 50, op.top_p = 0.95;
  return op;
}

Op make_route(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = kExperts * rows_of(elements, kExperts * kExperts), capacity = rows * kTopK / kExperts;
  Route op;
  op.logits = p.values(rows * kExperts), op.probabilities = p.floats(rows * kExperts);
  op.weights = p.floats(rows * kTopK), op.chosen = p.tokens(rows * kTopK, kExperts);
  op.counts = p.tokens(kExperts, rows), op.slots = p.tokens(rows * kTopK, rows * kTopK);
  op.source = p.tokens(kExperts * capacity, rows * kTopK);
  op.rows = rows, op.experts = kExperts, op.top_k = kTopK, op.capacity = capacity;
  return op;
}

Op make_load_balance(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kExperts);
  return LoadBalance{p.floats(rows * kExperts), p.tokens(kExperts, rows), p.floats(1), rows, kExperts, rows, 1e-3};
}

Op make_route_backward(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kExperts);
  return RouteBackward{p.floats(rows * kTopK),
                       p.floats(rows * kTopK),
                       p.floats(rows * kExperts),
                       p.tokens(rows * kTopK, kExperts),
                       p.tokens(kExperts, rows),
                       p.values(rows * kExperts),
                       rows,
                       kExperts,
                       kTopK,
                       rows,
                       1e-3};
}

// Slots enough for all, as a capacity factor of 1 has.
Op make_dispatch(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t slots = rows_of(elements, kHidden) * kTopK, rows = slots / kTopK;
  return Dispatch{p.values(rows * kHidden),
                  p.tokens(slots, slots),
                  p.floats(slots),
                  p.values(slots * kHidden),
                  rows,
                  kHidden,
                  kTopK};
}

Op make_combine(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden), slots = rows * kTopK;
  return Combine{p.values(slots * kHidden),
                 p.tokens(slots, slots),
                 p.floats(slots),
                 p.values(rows * kHidden),
                 rows,
                 kHidden,
                 kTopK};
}

Op make_combine_backward(ProbeProgram& p, std::int64_t elements) {
  const std::int64_t rows = rows_of(elements, kHidden), slots = rows * kTopK;
  return CombineBackward{p.values(rows * kHidden),
                         p.values(slots * kHidden),
                         p.tokens(slots, slots),
                         p.floats(slots),
                         rows,
                         kHidden,
                         kTopK};
}

// `elements` of weights; their type is that of A too, but for int8.
Op make_thin_product(ProbeProgram& p, const ThinFamily& thin, std::int64_t elements) {
  constexpr std::int64_t k = 512;
  const std::int64_t m = thin.rows, n = rows_of(elements, k);
  if (thin.weights == DType::kI8) {
    return MatMulInt8{p.floats(m * k), p.bytes(n * k), p.floats(n), {}, p.floats(m * n), m, n, k, thin.trans_b};
  }
  return MatMul{p.of(thin.weights, m * k),
                p.of(thin.weights, n * k),
                {},
                p.of(thin.weights, m * n),
                m,
                n,
                k,
                false,
                thin.trans_b};
}

std::vector<FamilyProbe> thin_probes() {
  std::vector<FamilyProbe> probes;
  for (const ThinFamily& thin : thin_families()) {
    probes.push_back({thin.name(), [thin](ProbeProgram& p, std::int64_t n) { return make_thin_product(p, thin, n); }});
  }
  return probes;
}

Op make_adam(ProbeProgram& p, std::int64_t n) {
  Adam op{p.floats(n), p.values(n), p.floats(n), p.floats(n), p.floats(1)};
  if (p.program().buffer(op.grad.buffer).dtype != DType::kF32) op.copy = p.values(n);
  return op;
}

// As ZeRO++ gathers: one slice, 8 bits.
constexpr std::int64_t kQuantizeGroup = 2048;

Op make_quantize(ProbeProgram& p, std::int64_t n) {
  return Quantize{p.values(n), p.bytes(n), p.floats((n + kQuantizeGroup - 1) / kQuantizeGroup), n, kQuantizeGroup, 8};
}

Op make_dequantize(ProbeProgram& p, std::int64_t n) {
  return Dequantize{p.bytes(n), p.floats((n + kQuantizeGroup - 1) / kQuantizeGroup), p.values(n), n, kQuantizeGroup, 8};
}

std::vector<FamilyProbe> plain_probes() {
  return {{"fill",
           [](auto& p, auto n) {
             return Op(Fill{p.floats(n), 0.0});
           },
           true},
          {"copy",
           [](auto& p, auto n) {
             return Op(Copy{p.floats(n), p.values(n)});
           },
           true},
          {"accumulate",
           [](auto& p, auto n) {
             return Op(Accumulate{p.values(n), p.values(n)});
           },
           true},
          {"scale",
           [](auto& p, auto n) {
             return Op(Scale{p.values(n), 1.0});
           },
           true},
          {"add",
           [](auto& p, auto n) {
             return Op(Add{p.values(n), p.values(n), p.values(n)});
           }},
          {"sum_squares",
           [](auto& p, auto n) {
             return Op(SumSquares{p.values(n), p.doubles(1)});
           },
           true},
          {"quantize", make_quantize, true},
          {"dequantize", make_dequantize, true},
          {"adam", make_adam, true},
          {"clip_coefficient", [](auto& p, auto) {
             return Op(ClipCoefficient{p.doubles(1), p.floats(1), p.floats(1), 1.0});
           }}};
}

std::vector<FamilyProbe> model_probes() {
  return {{"embedding", make_embedding},
          {"embedding_backward", make_embedding_backward},
          {"layer_norm", make_layer_norm},
          {"layer_norm_backward", make_layer_norm_backward},
          {"rms_norm", make_rms_norm},
          {"rms_norm_backward", make_rms_norm_backward},
          {"bias_gradient", make_bias_gradient},
          {"swiglu",
           [](auto& p, auto n) {
             return Op(SwiGlu{p.values(n), p.values(n), p.values(n)});
           }},
          {"swiglu_backward",
           [](auto& p, auto n) {
             return Op(SwiGluBackward{p.values(n), p.values(n), p.values(n), p.values(n), p.values(n)});
           }},
          {"rope", make_rope},
          {"rope_at", make_rope_at},
          {"append_cache", make_append_cache},
          {"cached_attention", make_cached_attention},
          {"last_rows", make_last_rows},
          {"sample:greedy", [](auto& p, auto n) { return make_sample(p, n, false); }},
          {"sample:drawn", [](auto& p, auto n) { return make_sample(p, n, true); }},
          {"cross_entropy", make_cross_entropy},
          {"row_max", make_row_max},
          {"shifted_exp", make_shifted_exp},
          {"sharded_cross_entropy", make_sharded_cross_entropy}};
}

std::vector<FamilyProbe> expert_probes() {
  return {
      {"route", make_route},       {"load_balance", make_load_balance}, {"route_backward", make_route_backward},
      {"dispatch", make_dispatch}, {"combine", make_combine},           {"combine_backward", make_combine_backward}};
}

std::vector<FamilyProbe> activation_probes() {
  std::vector<FamilyProbe> probes;
  for (ActivationKind kind :
       {ActivationKind::kGeluTanh, ActivationKind::kGeluErf, ActivationKind::kRelu, ActivationKind::kSilu}) {
    const std::string name(to_string(kind));
    probes.push_back({"activation:" + name, [kind](ProbeProgram& p, std::int64_t n) {
                        return Op(Activation{p.values(n), p.values(n), kind});
                      }});
    probes.push_back({"activation_backward:" + name, [kind](ProbeProgram& p, std::int64_t n) {
                        return Op(ActivationBackward{p.values(n), p.values(n), p.values(n), kind});
                      }});
  }
  return probes;
}

FamilyProbe in_16_bits(const FamilyProbe& probe, DType dtype) {
  FamilyProbe narrow = probe;
  narrow.family += ":" + std::string(to_string(dtype));
  narrow.dtype = dtype;
  narrow.make = [make = probe.make, dtype](ProbeProgram& p, std::int64_t elements) {
    p.set_dtype(dtype);
    return make(p, elements);
  };
  return narrow;
}

}  // namespace

const std::vector<FamilyProbe>& family_probes() {
  static const std::vector<FamilyProbe> probes = [] {
    std::vector<FamilyProbe> all;
    for (const auto& part : {plain_probes(), model_probes(), expert_probes(), activation_probes(), thin_probes()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    const std::vector<FamilyProbe> fp32 = all;
    for (const FamilyProbe& probe : fp32) {
      for (const DType dtype : {DType::kBF16, DType::kF16}) {
        if (has_16_bit_kernels(probe.family)) all.push_back(in_16_bits(probe, dtype));
      }
    }
    return all;
  }();
  return probes;
}

Op make_matmul(ProbeProgram& p, const MatMulPoint& s) {
  p.set_dtype(s.dtype);
  const auto m = static_cast<std::int64_t>(s.m), n = static_cast<std::int64_t>(s.n), k = static_cast<std::int64_t>(s.k);
  return MatMul{p.values(m * k), p.values(k * n), {}, p.values(m * n), m, n, k, s.trans_a, s.trans_b, s.accumulate};
}

Op make_attention(ProbeProgram& p, const AttentionPoint& s) {
  p.set_dtype(s.dtype);
  const auto batch = static_cast<std::int64_t>(s.batch), seq = static_cast<std::int64_t>(s.seq);
  const auto heads = static_cast<std::int64_t>(s.heads), kv_heads = static_cast<std::int64_t>(s.kv_heads);
  const auto d = static_cast<std::int64_t>(s.head_dim);
  const std::int64_t q = batch * seq * heads * d, kv = batch * seq * kv_heads * d, lse = batch * seq * heads;
  if (!s.backward) {
    return Attention{p.values(q), p.values(kv), p.values(kv), p.values(q), p.floats(lse), batch,
                     seq,         heads,        kv_heads,     d,           heads * d,     kv_heads * d};
  }
  return AttentionBackward{
      p.values(q),  p.values(q),  p.values(kv), p.values(kv), p.values(q), p.floats(lse), p.values(q),
      p.values(kv), p.values(kv), batch,        seq,          heads,       kv_heads,      d,
      heads * d,    kv_heads * d};
}

}  // namespace shardscope
