#pragma once
// Units for cost code: Bytes / BytesPerSecond is Seconds, and Bytes + Seconds does not build.
// Elsewhere plain integers carry the unit in their name: start_ns, size_bytes. GB is 1e9, GiB is 2^30.

#include <cmath>
#include <cstdint>

namespace shardscope {

/// A quantity: bytes^B * flop^F * seconds^T, in double.
template <int B, int F, int T>
struct Quantity {
  double value = 0;

  constexpr Quantity() = default;
  constexpr explicit Quantity(double v) : value(v) {}

  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity(a.value + b.value); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return Quantity(a.value - b.value); }
  friend constexpr Quantity operator*(Quantity a, double k) { return Quantity(a.value * k); }
  friend constexpr Quantity operator*(double k, Quantity a) { return Quantity(a.value * k); }
  friend constexpr Quantity operator/(Quantity a, double k) { return Quantity(a.value / k); }
  constexpr Quantity& operator+=(Quantity b) {
    value += b.value;
    return *this;
  }
  friend constexpr auto operator<=>(Quantity a, Quantity b) = default;
};

template <int B, int F, int T, int B2, int F2, int T2>
constexpr auto operator*(Quantity<B, F, T> a, Quantity<B2, F2, T2> b) {
  return Quantity<B + B2, F + F2, T + T2>(a.value * b.value);
}

/// Same units divide to a plain number.
template <int B, int F, int T, int B2, int F2, int T2>
constexpr auto operator/(Quantity<B, F, T> a, Quantity<B2, F2, T2> b) {
  if constexpr (B == B2 && F == F2 && T == T2) {
    return a.value / b.value;
  } else {
    return Quantity<B - B2, F - F2, T - T2>(a.value / b.value);
  }
}

using Bytes = Quantity<1, 0, 0>;
using Flop = Quantity<0, 1, 0>;
using Seconds = Quantity<0, 0, 1>;
using BytesPerSecond = Quantity<1, 0, -1>;
using FlopPerSecond = Quantity<0, 1, -1>;

constexpr Seconds microseconds(double us) { return Seconds(us * 1e-6); }

/// The one place where seconds become the integer nanoseconds of traces and of the virtual clock (rounded to nearest).
inline std::int64_t to_ns(Seconds t) { return std::llround(t.value * 1e9); }
constexpr Seconds from_ns(std::int64_t ns) { return Seconds(static_cast<double>(ns) * 1e-9); }

}  // namespace shardscope
