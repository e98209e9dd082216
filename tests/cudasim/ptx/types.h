#pragma once
// From a type's name to code: the makers of Execs for each integer, or for each width where the sign does not matter.
//
//   d.emit(by_integer(type, [](auto t) -> Exec { return divide<decltype(t)>; }));

#include <string>

#include "tests/cudasim/ptx/decoder.h"

namespace cudasim::ptx {

template <class Make>
Exec by_integer(const std::string& type, Make make) {
  if (type == "s32") return make(s32{});
  if (type == "u32") return make(u32{});
  if (type == "s64") return make(s64{});
  if (type == "u64") return make(u64{});
  if (type == "s16") return make(s16{});
  if (type == "u16") return make(u16{});
  return nullptr;
}

template <class Make>
Exec by_width(const std::string& type, Make make) {
  if (type == "s32" || type == "u32" || type == "b32") return make(u32{});
  if (type == "s64" || type == "u64" || type == "b64") return make(u64{});
  if (type == "s16" || type == "u16" || type == "b16") return make(u16{});
  return nullptr;
}

/// Bits of any type of this size.
template <class Make>
Exec by_bytes(int bytes, Make make) {
  return bytes == 4 ? make(u32{}) : bytes == 8 ? make(u64{}) : bytes == 2 ? make(u16{}) : nullptr;
}

inline bool is_float_type(const std::string& type) { return type == "f32" || type == "f64"; }
inline bool is_half_type(const std::string& type) {
  return type == "f16" || type == "bf16" || type == "f16x2" || type == "bf16x2";
}

/// What sets the carry (ops_carry.cpp).
void carry_add(Decoder& d, const std::string& type);
void carry_sub(Decoder& d, const std::string& type);
void carry_mad(Decoder& d, const std::string& type);

/// Opcodes that exist for integers and floats meet in ops_float.cpp; these are the integers (ops_integer.cpp).
void integer_add(Decoder& d, const std::string& type);
void integer_sub(Decoder& d, const std::string& type);
void integer_mul(Decoder& d, const std::string& type);
void integer_div(Decoder& d, const std::string& type);
void integer_min(Decoder& d, const std::string& type);
void integer_max(Decoder& d, const std::string& type);
void integer_neg(Decoder& d, const std::string& type);
void integer_abs(Decoder& d, const std::string& type);

}  // namespace cudasim::ptx
