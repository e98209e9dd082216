#include "kernels/cpu/isa.h"

namespace shardscope {

#define SS_DECLARE_LOOPS(isa)                      \
  namespace isa {                                  \
  extern const ElementwiseLoops elementwise_loops; \
  extern const ConvertLoops convert_loops;         \
  extern const ActivationLoops activation_loops;   \
  extern const NormLoops norm_loops;               \
  extern const AttentionLoops attention_loops;     \
  extern const CacheLoops cache_loops;             \
  extern const GemmLoops gemm_loops;               \
  extern const ThinLoops thin_loops;               \
  extern const ReduceLoops reduce_loops;           \
  extern const AdamLoops adam_loops;               \
  extern const QuantizeLoops quantize_loops;       \
  }
#define SS_ALL_LOOPS(isa)                                                                                           \
  {                                                                                                                 \
    isa::elementwise_loops, isa::convert_loops, isa::activation_loops, isa::norm_loops, isa::attention_loops,       \
        isa::cache_loops, isa::gemm_loops, isa::thin_loops, isa::reduce_loops, isa::adam_loops, isa::quantize_loops \
  }

SS_DECLARE_LOOPS(isa_base)
#ifdef SS_X86_LOOPS
SS_DECLARE_LOOPS(isa_v3)
SS_DECLARE_LOOPS(isa_v4)
#endif

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::kBase:
      return "base";
    case Isa::kX86V3:
      return "x86-64-v3";
    case Isa::kX86V4:
      return "x86-64-v4";
  }
  return "unknown";
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas = {Isa::kBase};
#ifdef SS_X86_LOOPS
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v3) isas.push_back(Isa::kX86V3);
  if (v4) isas.push_back(Isa::kX86V4);
#endif
  return isas;
}

const Loops& loops_of(Isa isa) {
  static const Loops base = SS_ALL_LOOPS(isa_base);
#ifdef SS_X86_LOOPS
  static const Loops v3 = SS_ALL_LOOPS(isa_v3);
  static const Loops v4 = SS_ALL_LOOPS(isa_v4);
  if (isa == Isa::kX86V3) return v3;
  if (isa == Isa::kX86V4) return v4;
#endif
  (void)isa;
  return base;
}

}  // namespace shardscope
