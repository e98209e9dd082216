// Chooses next tokens, a block to a sequence. All in double, with the CPU backend's choice: candidates are ordered by
// keys, and whatever depends on that order is found by halving the range of keys, each time with a sum over all
// candidates (64 reads of 16 bytes per token, from the second-level cache; two of 4 where temperature is 0).
#include "core/engine/random.h"
#include "kernels/cuda/device.cuh"

namespace shardscope::cuda {
namespace {

constexpr int kSampleThreads = 1024;

/// Orders candidates: larger is more probable, or as probable with a lower number. Never the same for two tokens.
using Key = std::uint64_t;
__device__ inline Key key_of(float logit, std::int64_t token) {
  const std::uint32_t bits = logit == 0 ? 0U : __float_as_uint(logit);  // -0 is 0
  const std::uint32_t order = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
  return Key{order} << 32 | (0xffffffffU - static_cast<std::uint32_t>(token));
}
__device__ inline std::int64_t token_of(Key key) { return 0xffffffffU - static_cast<std::uint32_t>(key); }

struct SampleCall {
  const float* logits;
  const std::int32_t *starts, *counts;
  std::int32_t* tokens;
  float* logprobs;
  Key* keys;  ///< [batch, vocab], as are weights; where temperature is above 0
  double* weights;
  std::int64_t batch, vocab, part, top_k;
  double temperature, top_p;
  std::uint64_t stream;  ///< of random numbers: random_key(seed, "sample")
};

/// One sequence's candidates. All of a block's threads must call.
struct Candidates {
  const SampleCall& call;
  std::int64_t sequence;
  Key least = 0;  ///< of those that are kept

  __device__ float logit(std::int64_t token) const {
    return call.logits[(token / call.part * call.batch + sequence) * call.part + token % call.part];
  }
  __device__ double& weight(std::int64_t token) const { return call.weights[sequence * call.vocab + token]; }
  __device__ Key& key(std::int64_t token) const { return call.keys[sequence * call.vocab + token]; }

  /// The sum of weight_of(token) over kept tokens with keys in [from, to].
  template <class WeightOf>
  __device__ double sum(Key from, Key to, WeightOf&& weight_of) const {
    double sum = 0;
    for (std::int64_t token = threadIdx.x; token < call.vocab; token += blockDim.x) {
      const Key k = key(token);
      if (k >= least && k >= from && k <= to) sum += weight_of(token);
    }
    return block_sum(sum);
  }
};

/// The largest key for which holds(key), which must hold for smaller ones too; 0 if for none.
template <class Holds>
__device__ Key largest(Holds&& holds) {
  Key found = 0;
  for (int bit = 63; bit >= 0; --bit) {
    const Key next = found | Key{1} << bit;
    if (holds(next)) found = next;
  }
  return found;
}

/// The first token whose weights and those of all before it sum to more than `target`; else the last.
__device__ std::int64_t draw_in_token_order(const Candidates& all, double target) {
  __shared__ double sums[kSampleThreads];
  __shared__ std::int64_t found;
  const std::int64_t vocab = all.call.vocab, share = (vocab + blockDim.x - 1) / blockDim.x;
  const std::int64_t first = threadIdx.x * share, end = first + share < vocab ? first + share : vocab;
  double sum = 0;
  for (std::int64_t token = first; token < end; ++token) sum += all.weight(token);
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    double before = 0;
    unsigned t = 0;
    while (t + 1 < blockDim.x && before + sums[t] <= target) before += sums[t++];
    std::int64_t token = t * share < vocab ? t * share : vocab - 1;
    while (token + 1 < vocab && before + all.weight(token) <= target) before += all.weight(token++);
    found = token;
  }
  __syncthreads();
  return found;
}

/// The order in which the CPU backend's candidates come to lie: by token; after top_k the most probable first; after
/// top_p the least probable of those kept first.
__device__ std::int64_t draw(Candidates& all, Key top, float top_logit, double uniform) {
  const SampleCall& call = all.call;
  const double inverse = 1 / call.temperature;
  for (std::int64_t token = threadIdx.x; token < call.vocab; token += blockDim.x) {
    const float logit = all.logit(token);
    all.key(token) = key_of(logit, token);
    all.weight(token) = exp((static_cast<double>(logit) - static_cast<double>(top_logit)) * inverse);
  }
  __syncthreads();
  const auto weight = [&](std::int64_t token) { return all.weight(token); };
  const auto one = [](std::int64_t) { return 1.0; };
  const bool cuts_count = call.top_k > 0 && call.top_k < call.vocab, cuts_share = call.top_p < 1;
  if (cuts_count) {
    const auto k = static_cast<double>(call.top_k);
    all.least = largest([&](Key from) { return all.sum(from, top, one) >= k; });
  }
  if (cuts_share) {
    const double share = call.top_p * all.sum(0, top, weight);
    const Key least = largest([&](Key from) { return all.sum(from, top, weight) >= share; });
    all.least = least > top ? top : (least > all.least ? least : all.least);
  }
  const double target = uniform * all.sum(0, top, weight);
  if (!cuts_count && !cuts_share) return draw_in_token_order(all, target);
  const Key drawn = cuts_share ? largest([&](Key to) { return all.sum(0, to - 1, weight) <= target; })
                               : largest([&](Key from) { return all.sum(from, top, weight) > target; });
  if (drawn > top) return token_of(top);  // rounding left a little over: the last
  return drawn < all.least || drawn == 0 ? token_of(all.least == 0 ? top : all.least) : token_of(drawn);
}

/// The block's largest key.
__device__ Key block_largest(Key key) {
  __shared__ Key tops[kWarp];
  for (int pass = 0; pass < 2; ++pass) {
    for (int step = kWarp / 2; step > 0; step /= 2) {
      const Key other = __shfl_xor_sync(kAllLanes, key, step);
      key = other > key ? other : key;
    }
    if (pass == 1) break;
    if (threadIdx.x % kWarp == 0) tops[threadIdx.x / kWarp] = key;
    __syncthreads();
    key = tops[threadIdx.x % kWarp];
  }
  return key;
}

/// Logits that are no numbers stop the device.
__global__ void __launch_bounds__(kSampleThreads) sample(SampleCall call) {
  Candidates all{call, blockIdx.x};
  const std::int64_t b = blockIdx.x;
  Key top = 0;
  for (std::int64_t token = threadIdx.x; token < call.vocab; token += blockDim.x) {
    const float logit = all.logit(token);
    const Key key = key_of(logit, token);
    if (isnan(logit)) __trap();
    top = key > top ? key : top;
  }
  top = block_largest(top);
  std::int64_t chosen = token_of(top);
  const float top_logit = all.logit(chosen);
  double total = 0;
  for (std::int64_t token = threadIdx.x; token < call.vocab; token += blockDim.x) {
    total += exp(static_cast<double>(all.logit(token)) - static_cast<double>(top_logit));
  }
  total = block_sum(total);
  if (call.temperature > 0) {
    const std::uint64_t stream = mix_bits(call.stream + static_cast<std::uint64_t>(b));
    const auto place = static_cast<std::uint64_t>(static_cast<std::int64_t>(call.starts[b]) + call.counts[b]);
    chosen = draw(all, top, top_logit, standard_uniform(random_bits(stream, place)));
  }
  if (threadIdx.x != 0) return;
  call.tokens[b] = static_cast<std::int32_t>(chosen);
  const double logit = static_cast<double>(all.logit(chosen));
  call.logprobs[b] = static_cast<float>(logit - static_cast<double>(top_logit) - log(total));
}

/// Words of any kind. A count of rows that a sequence does not have stops the device. Moves twice the bytes of the last
/// rows.
template <class Word>
__global__ void last_rows(const Word* x, const std::int32_t* counts, Word* out, std::int64_t seq, std::int64_t words,
                          std::int64_t n) {
  for (std::int64_t i = first_index(); i < n; i += index_stride()) {
    const std::int64_t b = i / words, last = counts[b] - 1;
    if (last < 0 || last >= seq) __trap();
    out[i] = x[(b * seq + last) * words + i % words];
  }
}

}  // namespace

void run(const Sample& op, Kernel& kernel) {
  const std::int64_t candidates = op.temperature > 0 ? op.batch * op.vocab : 0;
  auto* scratch = kernel.scratch<double>(2 * candidates + 1);
  const SampleCall call{kernel.data(op.logits),
                        kernel.data<std::int32_t>(op.starts),
                        kernel.data<std::int32_t>(op.counts),
                        kernel.data<std::int32_t>(op.tokens),
                        kernel.data(op.logprobs),
                        reinterpret_cast<Key*>(scratch + candidates),
                        scratch,
                        op.batch,
                        op.vocab,
                        (op.vocab + op.parts - 1) / op.parts,
                        op.top_k,
                        op.temperature,
                        op.top_p,
                        random_key(kernel.scalars().seed, "sample")};
  sample<<<static_cast<unsigned>(op.batch), kSampleThreads, 0, kernel.stream()>>>(call);
  check_launch("sample");
}

void run(const LastRows& op, Kernel& kernel) {
  const auto* counts = kernel.data<std::int32_t>(op.counts);
  const std::int64_t n = op.batch * op.hidden;
  const auto copy = [&](auto word) {
    using Word = decltype(word);
    last_rows<<<blocks_for(kernel, n), kThreads, 0, kernel.stream()>>>(kernel.data<Word>(op.x), counts,
                                                                       kernel.data<Word>(op.out), op.seq, op.hidden, n);
  };
  size_of(kernel.dtype(op.x)) == 4 ? copy(std::uint32_t{}) : copy(std::uint16_t{});
  check_launch("last_rows");
}

}  // namespace shardscope::cuda
