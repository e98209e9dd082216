// Reductions of NCCL's types: each step is rounded to the type, as on the device.

#include <algorithm>
#include <cstring>

#include "tests/cudasim/core/numbers.h"
#include "tests/cudasim/nccl/comm.h"

namespace cudasim {

namespace {

template <class T>
T reduced(T a, T b, s32 reduction) {
  switch (reduction) {
    case ncclMax:
      return std::max(a, b);
    case ncclMin:
      return std::min(a, b);
    case ncclProd:
      return static_cast<T>(a * b);
    default:
      return static_cast<T>(a + b);
  }
}

/// Calls f(T read(bytes), store) for the type: `wide` what is computed in.
template <class Work>
void by_type(s32 type, Work work) {
  const auto plain = [&]<class T>(T) {
    work(
        sizeof(T),
        [](const u8* at) {
          T v;
          std::memcpy(&v, at, sizeof v);
          return v;
        },
        [](u8* at, T v) { std::memcpy(at, &v, sizeof v); });
  };
  const auto narrow = [&](auto widen, auto to_narrow) {
    work(
        sizeof(u16),
        [=](const u8* at) {
          u16 v;
          std::memcpy(&v, at, 2);
          return widen(v);
        },
        [=](u8* at, float v) {
          const u16 bits = to_narrow(v);
          std::memcpy(at, &bits, 2);
        });
  };
  const auto eight = [&](Float8 format) {
    work(
        1, [=](const u8* at) { return from_f8(*at, format); }, [=](u8* at, float v) { *at = to_f8(v, format); });
  };
  switch (type) {
    case ncclInt8:
      return plain(s8{});
    case ncclUint8:
      return plain(u8{});
    case ncclInt32:
      return plain(s32{});
    case ncclUint32:
      return plain(u32{});
    case ncclInt64:
      return plain(s64{});
    case ncclUint64:
      return plain(u64{});
    case ncclFloat32:
      return plain(float{});
    case ncclFloat64:
      return plain(double{});
    case ncclFloat16:
      return narrow(from_f16, to_f16);
    case ncclBfloat16:
      return narrow(from_bf16, to_bf16);
    case ncclFloat8e4m3:
      return eight(Float8::kE4M3);
    case ncclFloat8e5m2:
      return eight(Float8::kE5M2);
    default:
      throw Fault{cudaErrorNotSupported, "NCCL: this type is not implemented"};
  }
}

}  // namespace

void combine(u8* into, const u8* from, u64 count, s32 type, s32 reduction) {
  by_type(type, [&](u64 size, auto read, auto write) {
    for (u64 i = 0; i < count; ++i)
      write(into + i * size, reduced(read(into + i * size), read(from + i * size), reduction));
  });
}

void divide(u8* values, u64 count, s32 type, int by) {
  by_type(type, [&](u64 size, auto read, auto write) {
    using T = decltype(read(values));
    for (u64 i = 0; i < count; ++i)
      write(values + i * size, static_cast<T>(read(values + i * size) / static_cast<T>(by)));
  });
}

}  // namespace cudasim
