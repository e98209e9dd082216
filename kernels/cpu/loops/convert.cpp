// Between fp32 and the 16-bit formats (loops/half.h says how).
#include "kernels/cpu/loops/half.h"
#include "kernels/cpu/loops/loops.h"

namespace shardscope::SS_ISA {
namespace {

template <class T>
void narrow(const float* src, std::uint16_t* dst, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(reinterpret_cast<T*>(dst), c, load(src, c)); });
}
template <class T>
void widen(const std::uint16_t* src, float* dst, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(dst, c, load(reinterpret_cast<const T*>(src), c)); });
}

}  // namespace

extern const ConvertLoops convert_loops;
const ConvertLoops convert_loops = {narrow<BF16>, widen<BF16>, narrow<F16>, widen<F16>};

}  // namespace shardscope::SS_ISA
