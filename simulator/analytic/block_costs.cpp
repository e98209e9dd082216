#include "simulator/analytic/block_costs.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

// Bytes of eager kernels over those of one that does all, counted from transformers' modelling_llama.py. A norm of
// rows casts to fp32 6, squares 8, sums 4, scales 8, casts 6, weighs 4 bytes: 36 for 4, about as much more in backward.
// A rotation negates and joins halves 6, multiplies twice 8 (tables stay in the cache), adds 6: 20 for 4.
constexpr double kUnfusedNorm = 9, kUnfusedRope = 5;
constexpr double kLossForward = 0.7;  // of an unfused loss's bytes

/// Builds the costs of one block, product by product, as framework code runs them.
class BlockBuilder {
 public:
  BlockBuilder(const Workload& w, const FrameworkSpec& f, const FrameworkConstants& c, const GpuModel& gpu,
               const BlockShape& s)
      : w_(w), m_(w.model), f_(f), c_(c), gpu_(gpu), s_(s), width_(activation_bytes(w.arithmetic)) {
    tokens_ = static_cast<double>(s.micro_batch * w.seq) / (s.cp * s.ulysses);
    rows_ = s.sp ? tokens_ / s.tp : tokens_;
  }

  PartCosts block(bool mixture) {
    part_ = {};
    core_seconds_ = core_bytes_ = cheap_bytes_ = 0;
    attention_part();
    mixture ? experts() : dense_mlp();
    norms_and_residuals();
    host(mixture);
    recompute(mixture);
    return part_;
  }

  PartCosts embedding();
  PartCosts head();
  PartCosts loss();
  double head_backward(double logits, double vocab) const;
  double message() const { return tokens_ * h() * width_ / (s_.sp || f_.scatters_messages ? tp() : 1); }

 private:
  double h() const { return static_cast<double>(m_.hidden); }
  double tp() const { return s_.tp; }
  bool gated() const { return is_gated(m_.mlp); }
  bool latent() const { return m_.kv_lora_rank > 0; }
  double qk_dim() const {
    return static_cast<double>(latent() ? m_.qk_nope_head_dim + m_.qk_rope_head_dim : m_.head_dim);
  }
  double v_dim() const { return static_cast<double>(latent() ? m_.v_head_dim : m_.head_dim); }
  double heads() const { return static_cast<double>(m_.heads) / tp(); }
  double kv_heads() const { return latent() ? heads() : std::max(1.0, static_cast<double>(m_.kv_heads) / tp()); }

  /// y = x w: forward, both gradients of backward, and the accumulation of the weight's.
  /// `batch` at once, in one kernel; of our engine one after the other.
  void product(double rows, double k, double n, double batch = 1) {
    const Arithmetic a = w_.arithmetic;
    if (f_.engine && batch > 1) return product_by_product(rows, k, n, batch);
    const double slower = batch > 1 ? 1 / gpu_.constants().grouped_rate : 1;
    last_product_ = slower * gpu_.matmul(rows, n, k, a, batch);
    part_.forward.matmul += last_product_;
    const double input = slower * gpu_.matmul(rows, k, n, a, batch);
    const double accumulated =  // the event level counts a product's own traffic only
        f_.engine ? 0 : batch * k * n * (2 * f_.gradient_bytes + (f_.backward_bytes > 0 ? 2 * f_.backward_bytes : 0));
    const double weight = slower * gpu_.matmul(k, n, rows, a, batch) + 0.5 * accumulated / bandwidth();
    part_.backward.matmul += input + weight;
    part_.weight_gradient += weight;
    part_.product_flops += 3 * 2 * rows * k * n * batch;
    part_.parameters += batch * k * n;
    if (narrow() && f_.engine) cast_each(rows * k * batch, k * n * batch, rows * n * batch);
    if (narrow() && !f_.engine) cast(rows * k * batch, rows * n * batch);
  }

  void product_by_product(double rows, double k, double n, double times) {
    const Arithmetic a = w_.arithmetic;
    const double weight = gpu_.matmul(k, n, rows, a);
    last_product_ = gpu_.matmul(rows, n, k, a);
    part_.forward.matmul += times * last_product_;
    part_.backward.matmul += times * (gpu_.matmul(rows, k, n, a) + weight);
    part_.weight_gradient += times * weight;
    part_.product_flops += times * 3 * 2 * rows * k * n;
    part_.parameters += times * k * n;
    if (narrow()) cast_each(rows * k, k * n, rows * n, times);
  }

  /// Our engine's llama blocks keep q, k and v, and gate and up, in matrices of their own, as their checkpoints do.
  bool separate() const {
    const ModelFamily f = m_.family;
    return f_.engine && (f == ModelFamily::kLlama || f == ModelFamily::kQwen2 || f == ModelFamily::kMixtral);
  }

  /// Operands of a narrow product are scaled and rounded first: the input twice (and transposed), the gradient too.
  void cast(double inputs, double outputs) {
    part_.forward.elements += inputs * 4 / bandwidth();
    part_.backward.elements += outputs * 4 / bandwidth();
  }

  /// Our engine casts both operands of each product, from 16 bits, and looks for their largest magnitudes before that
  /// (kernels/cuda/fp8.cu): two kernels and 5 bytes an element for each.
  void cast_each(double inputs, double weights, double outputs, double times = 1) {
    const double kernels = 4 * gpu_.kernel_s();
    part_.forward.elements += times * ((inputs + weights) * 5 / bandwidth() + kernels);
    part_.backward.elements += times * ((inputs + weights + 2 * outputs) * 5 / bandwidth() + 2 * kernels);
  }

  /// Attention's and the head's products stay in 16 bits also in fp8 training.
  Arithmetic beside_products() const { return narrow() ? Arithmetic::kBf16 : w_.arithmetic; }
  bool narrow() const { return w_.arithmetic == Arithmetic::kFp8 || w_.arithmetic == Arithmetic::kFp4; }
  /// Bytes of an element that backward needs only as a product's input: others' products of fp8 keep it in fp8.
  double input_bytes() const { return narrow() && !f_.engine ? 1 : width_; }

  double bandwidth() const { return gpu_.spec().memory_bandwidth.value * gpu_.constants().memory_efficiency; }

  /// Element-wise kernels that move so many bytes; `kernels` of them at the least.
  void elements(double forward_bytes, double backward_bytes) {
    part_.forward.elements += forward_bytes * c_.traffic / bandwidth();
    part_.backward.elements += backward_bytes * c_.traffic / bandwidth();
  }

  void attention_part();
  void context_copies(double keys_and_values);
  void projections();
  void flash_core(double sequences, double queries, double keys);
  void plain_core(double sequences, double queries, double keys);
  void gated_mlp(double rows, double inner, double batch, double tokens);
  void dense_mlp();
  void experts();
  void engine_experts();
  double slots() const;
  double bias_gradients() const;
  void norms_and_residuals();
  void tensor_calls();
  void host(bool mixture);
  void recompute(bool mixture);
  void recompute_cheap();

  const Workload& w_;
  const ModelSpec& m_;
  const FrameworkSpec& f_;
  const FrameworkConstants& c_;
  const GpuModel& gpu_;
  const BlockShape& s_;
  double width_;                              ///< bytes of an activation
  double tokens_ = 0, rows_ = 0;              ///< of a rank; rows outside the tensor-parallel parts
  double core_seconds_ = 0, core_bytes_ = 0;  ///< of attention alone, for selective recompute
  double last_product_ = 0;                   ///< seconds of its forward
  double cheap_bytes_ = 0;                    ///< kept results of norms and activations
  PartCosts part_;
};

void BlockBuilder::projections() {
  const double q = heads() * qk_dim(), k = kv_heads() * qk_dim(), v = kv_heads() * v_dim();
  if (!latent() && separate()) {
    for (const double width : {q, k, v}) product(tokens_, h(), width);
    part_.kept.block += tokens_ * width_ * (q + k + v);
  } else if (!latent()) {
    product(tokens_, h(), q + k + v);
    part_.kept.block += tokens_ * width_ * (q + k + v);
  } else {
    const double rank = static_cast<double>(m_.kv_lora_rank), rope = static_cast<double>(m_.qk_rope_head_dim);
    const double q_rank = static_cast<double>(m_.q_lora_rank);
    if (q_rank > 0) product(tokens_, h(), q_rank);
    product(tokens_, q_rank > 0 ? q_rank : h(), q);
    product(tokens_, h(), rank + rope);
    product(tokens_, rank, heads() * (static_cast<double>(m_.qk_nope_head_dim) + v_dim()));
    elements(tokens_ * width_ * (2 * (q_rank + rank) + 2 * (q + k)),
             tokens_ * width_ * (4 * (q_rank + rank) + 2 * (q + k)));
    part_.kept.block += tokens_ * width_ * (2 * (q_rank + rank) + rope + q + k + v);
  }
  if (m_.positions == PositionKind::kRope) {
    const double rotated = tokens_ * width_ * (q + k) * 2 * (f_.fused_rope ? 1 : kUnfusedRope);
    elements(rotated, rotated);
  }
  const double copied = tokens_ * width_ * (q + k + v) * 2 * f_.attention_copies;
  elements(copied, copied);
  product(tokens_, heads() * v_dim(), h());
}

void BlockBuilder::flash_core(double sequences, double queries, double keys) {
  const double visible = w_.causal_halved ? 0.5 : 1.0;
  const bool vendor = f_.attention == AttentionKernel::kVendor;
  const double turns = f_.engine ? s_.cp : 1;  // a kernel for each
  const double forward =
      turns *
      gpu_.flash_forward(sequences, heads() / s_.ulysses, queries, keys / turns, qk_dim(), v_dim(), visible, vendor) /
      c_.attention;
  part_.forward.attention += forward;
  part_.backward.attention +=
      turns *
      gpu_.flash_backward(sequences, heads() / s_.ulysses, queries, keys / turns, qk_dim(), v_dim(), visible, vendor) /
      c_.attention;
  core_seconds_ = forward;
  core_bytes_ = tokens_ * (heads() * v_dim() * width_ + heads() * 4);  // attention needs its result too
  part_.kept.block += core_bytes_;
}

/// Batched products with the scores in memory: softmax, and dropout where the framework has it.
void BlockBuilder::plain_core(double sequences, double queries, double keys) {
  const double batch = sequences * heads() / s_.ulysses, scores = batch * queries * keys;
  const Arithmetic a = beside_products();
  const double products =
      gpu_.matmul(queries, keys, qk_dim(), a, batch) + gpu_.matmul(queries, v_dim(), keys, a, batch);
  part_.forward.attention += products;
  part_.backward.attention += 2 * products;
  const double dropout = f_.dropout ? 5 : 0, softmax = 4 + dropout;
  const double before = part_.forward.elements;
  elements(scores * softmax, scores * (6 + dropout));
  core_seconds_ = products + part_.forward.elements - before;
  core_bytes_ = scores * (f_.dropout ? 5 : 2);
  part_.kept.block += core_bytes_ + tokens_ * heads() * v_dim() * width_;
}

void BlockBuilder::attention_part() {
  projections();
  const double sequences = static_cast<double>(s_.micro_batch), keys = static_cast<double>(w_.seq);
  const double queries = keys / s_.cp;  // Ulysses exchanges tokens for heads
  f_.attention == AttentionKernel::kPlain ? plain_core(sequences, queries, keys) : flash_core(sequences, queries, keys);
  const double q = heads() * qk_dim(), kv = kv_heads() * (qk_dim() + v_dim());
  if (s_.cp > 1) part_.traffic.ring = tokens_ * kv * width_;
  if (s_.ulysses > 1 && f_.keeps_exchanged_result) part_.kept.block += tokens_ * heads() * v_dim() * width_;
  if (s_.ulysses > 1) part_.traffic.exchange = tokens_ * (q + kv + heads() * v_dim()) * width_;
  if (s_.ulysses > 1) part_.traffic.returned = tokens_ * heads() * v_dim() * width_;
  if (f_.engine) context_copies(tokens_ * kv * width_);
}

/// Our engine's copies into and out of messages: Ulysses' by rank, and by sequence where there are several; a ring's
/// keys and values, whose gradients are summed on their way round.
void BlockBuilder::context_copies(double keys_and_values) {
  const double exchanged = (s_.micro_batch > 1 ? 4 : 2) * part_.traffic.exchange;
  const double packed = s_.cp > 1 ? 2 * keys_and_values : 0, summed = s_.cp > 1 ? 3 * keys_and_values : 0;
  elements(exchanged + packed, exchanged + 2 * packed + (s_.cp - 1) * summed);
}

/// Rows go through `batch` MLPs of their own at once; `tokens` are all their rows.
void BlockBuilder::gated_mlp(double rows, double inner, double batch, double tokens) {
  const double up = gated() ? 2 * inner : inner;
  for (int i = 0; i < (gated() && separate() ? 2 : 1); ++i) product(rows, h(), separate() ? inner : up, batch);
  product(rows, inner, h(), batch);
  const double unfused = f_.fused_activation ? 1 : 2;
  elements(tokens * width_ * (up + inner) * unfused, tokens * width_ * (2 * up + inner) * unfused);
  if (f_.keeps_activation_input) part_.kept.block += tokens * width_ * up;
  if (gated() && !f_.fused_activation) part_.kept.block += tokens * width_ * inner;
  if (!f_.recomputes_activation) {
    part_.kept.block += tokens * input_bytes() * inner;
    cheap_bytes_ += tokens * input_bytes() * inner;
  }
  part_.largest_tensor = std::max(part_.largest_tensor, tokens * width_ * up);
  // Gradients of what is kept take its place, of a gated activation twice more; later those of the input are there, and
  // with sp all its rows again.
  const double inside = gated() ? up : s_.sp ? h() : 0, behind = (s_.sp && gated() ? 2 : 1) * h() - inner;
  part_.kept.backward += tokens * width_ * std::max(inside, behind);
}

void BlockBuilder::dense_mlp() {
  const std::int64_t inner = m_.experts > 0 && m_.dense_intermediate > 0 ? m_.dense_intermediate : m_.intermediate;
  gated_mlp(tokens_, static_cast<double>(inner) / tp(), 1, tokens_);
}

/// Rows that an expert of our engine takes from one rank, empty ones among them.
double BlockBuilder::slots() const {
  if (w_.capacity_factor == 0) return tokens_;
  const double share = tokens_ * static_cast<double>(m_.experts_per_token) / static_cast<double>(m_.experts);
  return std::clamp(std::ceil(w_.capacity_factor * share), 1.0, tokens_);
}

/// Our engine's experts take fixed numbers of rows, one expert after the other, and are split by tensor parallelism as
/// any MLP is (core/program/passes/experts_builder.cpp).
void BlockBuilder::engine_experts() {
  const double local = static_cast<double>(m_.experts) / s_.ep, rows = slots() * s_.ep, row = tokens_ * h() * width_;
  const double all = slots() * static_cast<double>(m_.experts) * h() * width_,
               top = static_cast<double>(m_.experts_per_token);
  const PartCosts before = part_;
  gated_mlp(rows, static_cast<double>(m_.intermediate) / tp(), local, rows * local);
  part_.expert_parameters = part_.parameters - before.parameters;
  part_.traffic.own_experts = local;
  part_.traffic.expert_forward = (part_.forward.kernel_seconds() - before.forward.kernel_seconds()) / local;
  part_.traffic.expert_backward = (part_.backward.kernel_seconds() - before.backward.kernel_seconds()) / local;
  part_.traffic.experts = s_.ep > 1 ? rows * h() * width_ : 0;
  product(tokens_, h(), static_cast<double>(m_.experts));
  elements(row + all + (1 + top) * row, row + all + 2 * (1 + top) * row);  // rows to slots, and back; likewise
  part_.kept.block += 2 * all;
}

/// Experts are whole on their rank; tokens are those of the rank after sequence parallelism.
void BlockBuilder::experts() {
  if (f_.engine) return engine_experts();
  const double own = tokens_ / (s_.sp || s_.ep > 1 ? tp() : 1), top = static_cast<double>(m_.experts_per_token);
  const double local = static_cast<double>(m_.experts) / s_.ep;
  const double split = s_.ep > 1 || s_.sp ? 1 : tp();
  const double arrived = own * top * w_.expert_imbalance;
  const double before = part_.parameters;
  gated_mlp(arrived / local, static_cast<double>(m_.intermediate) / split, local, arrived);
  part_.expert_parameters = part_.parameters - before;
  product(own, h(), static_cast<double>(m_.experts));
  const double moved = arrived * h() * width_;
  elements(4 * moved, 6 * moved);  // tokens sorted by expert and back, weighted
  part_.kept.block += 2 * moved;
  part_.traffic.experts = s_.ep > 1 ? moved : 0;  // it ends with the fullest rank
  const double shared = static_cast<double>(m_.shared_intermediate + m_.shared_experts * m_.intermediate);
  if (shared > 0) gated_mlp(tokens_, shared / tp(), 1, tokens_);
}

/// Bytes that our engine reads for them: gradients of the products' results.
double BlockBuilder::bias_gradients() const {
  const double qkv = (heads() + 2 * kv_heads()) * qk_dim(), inner = static_cast<double>(m_.intermediate) / tp();
  return tokens_ * width_ *
         ((m_.qkv_bias ? qkv : 0) + (m_.attention_out_bias ? h() : 0) +
          (m_.mlp_bias ? (gated() ? 2 : 1) * inner + h() : 0));
}

void BlockBuilder::norms_and_residuals() {
  const double row = rows_ * h() * width_, unfused = f_.fused_norm ? 1 : kUnfusedNorm, mask = f_.dropout ? 0.5 : 0;
  const double norms = 2, adds = 2;
  const double backward = f_.engine ? bias_gradients() : row * adds * (2 + mask);  // it adds in the norm's kernel
  elements(row * (norms * 2 * unfused + adds * (3 + mask)), row * norms * 4 * unfused + backward);
  part_.parameters += norms * h();
  const double whole = f_.keeps_gathered_inputs && s_.sp ? tp() : 1;
  const double norm_outputs = 2 * whole * input_bytes() / width_;
  part_.kept.block += row * ((f_.keeps_norm_input ? 2 : 1) + norm_outputs) + adds * mask * row;
  cheap_bytes_ += row * norm_outputs;
  part_.largest_tensor = std::max(part_.largest_tensor, tokens_ * h() * width_);
  if (s_.tp > 1) {
    part_.traffic.tensor = tokens_ * h() * width_;
    part_.traffic.tensor_calls = 2;
    tensor_calls();
  }
}

/// Attention and MLP each gather rows (sp only) and sum over the ranks, in forward and for the gradients of their
/// inputs. Recomputing stops before the last product and its sum.
void BlockBuilder::tensor_calls() {
  const double each = s_.sp ? 4 : 2;
  TensorCalls& calls = part_.traffic.calls;
  calls.forward = calls.backward = each;
  calls.again = s_.recompute == Recompute::kFull ? each - (f_.stops_recompute_early ? 1 : 0) : 0;
  if (f_.regathers_inputs && s_.sp) calls.backward = 2, calls.beside = 4;
  if (!f_.engine || !s_.sp) return;
  // Inputs' rows again: of gpt2's blocks one of the two waits for memory that attention gives back, and is waited for.
  calls.beside = separate() ? 2 : 1;
  calls.backward += separate() ? 0 : 1;
}

void BlockBuilder::host(bool mixture) {
  double kernels = f_.block_kernels;
  if (f_.attention == AttentionKernel::kPlain) kernels += 4;
  if (s_.tp > 1) kernels += s_.sp ? 6 : 4;
  if (s_.cp > 1) kernels += 6 * (s_.cp - 1);
  if (mixture) kernels += 25;  // router, permutation, counts. Guess
  if (latent()) kernels += 8;
  if (narrow()) kernels *= 1.5;  // casts, scales. Guess
  part_.forward.kernels = f_.graphs ? 0 : kernels;
  part_.backward.kernels = f_.graphs ? 0 : kernels * f_.backward_kernels;
}

/// Of our engine's mixtures the answers of experts are needed, all that makes them again.
void BlockBuilder::recompute(bool mixture) {
  part_.kept.recomputed = 0;
  if (s_.recompute == Recompute::kNone) return;
  if (s_.recompute == Recompute::kSelective) return recompute_cheap();
  part_.again = part_.forward;
  if (f_.stops_recompute_early && !(f_.engine && mixture)) part_.again.matmul -= last_product_;
  part_.kept.recomputed = part_.kept.block;
  part_.kept.block = rows_ * h() * width_;
}

/// Plain attention (and our engine's): attention again. Where its scores are not kept anyway: results of norms and
/// activations.
void BlockBuilder::recompute_cheap() {
  const bool attends = f_.attention == AttentionKernel::kPlain || f_.engine;
  if (attends) part_.again.attention = core_seconds_;
  if (!attends) part_.again.elements = cheap_bytes_ * 2 * c_.traffic / bandwidth();
  part_.again.kernels = f_.graphs ? 0 : f_.engine ? 1 : 6;
  part_.kept.recomputed = attends ? core_bytes_ : cheap_bytes_;
  part_.kept.block -= part_.kept.recomputed;
}

PartCosts BlockBuilder::embedding() {
  part_ = {};
  const double vocab = static_cast<double>(m_.vocab_size) / tp();
  elements(tokens_ * h() * width_ * 2, tokens_ * h() * width_ * 3 + vocab * h() * f_.gradient_bytes);
  part_.parameters =
      vocab * h() + (m_.positions == PositionKind::kLearned ? static_cast<double>(m_.max_positions) * h() : 0);
  part_.forward.kernels = f_.graphs ? 0 : 4;
  part_.backward.kernels = f_.graphs ? 0 : 4;
  if (s_.tp > 1) part_.traffic = {tokens_ * h() * width_, 1, {1, s_.sp ? 1.0 : 0.0}};
  part_.kept.block = f_.dropout ? rows_ * h() : 0;
  return part_;
}

/// Where a product's gradient also goes to autograd, which does not read it: that one, of the largest weight there is,
/// the logits' gradient, the gathered input, and its gradient before and after it is summed.
double BlockBuilder::head_backward(double logits, double vocab) const {
  if (f_.scratch_gradient_bytes <= 0) return 0;
  const double rows = s_.tp == 1 ? tokens_ : s_.sp ? 2 * tokens_ + rows_ : tokens_;
  return logits * width_ + vocab * h() * f_.scratch_gradient_bytes + rows * h() * width_;
}

PartCosts BlockBuilder::head() {
  part_ = {};
  const double vocab = static_cast<double>(m_.vocab_size) / tp(), logits = tokens_ * vocab;
  const double row = rows_ * h() * width_;
  const Arithmetic a = beside_products();
  part_.forward.matmul = gpu_.matmul(tokens_, vocab, h(), a);
  const double weight = gpu_.matmul(h(), vocab, tokens_, a);
  part_.backward.matmul = gpu_.matmul(tokens_, h(), vocab, a) + weight;
  part_.weight_gradient = weight;
  part_.product_flops = 3 * 2 * logits * h();
  elements(row * 2, row * 4);
  part_.forward.kernels = part_.backward.kernels = f_.graphs ? 0 : 4;
  part_.parameters = (m_.tied_embeddings ? 0 : vocab * h()) + h();
  part_.kept.block = row * 2;
  part_.largest_tensor = logits * f_.logit_bytes;
  part_.kept.backward = head_backward(logits, vocab);
  if (s_.tp > 1) {
    const double again = (f_.engine || f_.regathers_inputs) && s_.sp ? 1 : 0;
    part_.traffic = {tokens_ * h() * width_, 1, {s_.sp ? 1.0 : 0.0, 1, 0, again}};
    part_.traffic.loss = tokens_ * 4;
  }
  return part_;
}

/// Kernels over logits, and nothing else.
PartCosts BlockBuilder::loss() {
  part_ = {};
  const double logits = tokens_ * static_cast<double>(m_.vocab_size) / tp();
  if (f_.fused_loss) elements(logits * 4, logits * 4);  // bytes per logit
  part_.forward.elements += f_.fused_loss ? 0 : kLossForward * f_.loss_bytes * logits / bandwidth();
  part_.backward.elements += f_.fused_loss ? 0 : (1 - kLossForward) * f_.loss_bytes * logits / bandwidth();
  part_.forward.kernels = part_.backward.kernels = f_.graphs ? 0 : 8;
  return part_;
}

/// Times of both, one behind the other.
void append(PassCosts& pass, const PassCosts& more) {
  pass.matmul += more.matmul, pass.attention += more.attention;
  pass.elements += more.elements, pass.kernels += more.kernels;
}

}  // namespace

double activation_bytes(Arithmetic a) { return a == Arithmetic::kFp32 || a == Arithmetic::kTf32 ? 4 : 2; }

ModelCosts compute_costs(const Workload& workload, const FrameworkSpec& framework, const FrameworkConstants& constants,
                         const GpuModel& gpu, const BlockShape& shape) {
  BlockBuilder builder(workload, framework, constants, gpu, shape);
  ModelCosts costs;
  costs.mixture_blocks = expert_blocks(workload.model);
  if (costs.mixture_blocks < workload.model.layers) costs.dense = builder.block(false);
  if (costs.mixture_blocks > 0) costs.mixture = builder.block(true);
  costs.embedding = builder.embedding();
  costs.loss = builder.loss();
  costs.logits = costs.head = builder.head();
  append(costs.head.forward, costs.loss.forward);
  append(costs.head.backward, costs.loss.backward);
  costs.message = builder.message();
  return costs;
}

}  // namespace shardscope
