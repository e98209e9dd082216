// Tensor cores: ldmatrix, stmatrix, and mma.sync for float16, bfloat16, tf32, float8 and int8. Fragments are laid out
// as the PTX manual's figures say; products are summed in float, one k after the other (the device's order is not
// documented).

#include <algorithm>
#include <vector>

#include "tests/cudasim/core/numbers.h"
#include "tests/cudasim/ptx/access.h"
#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

void want_whole_warp(const Warp& w, const Inst& i, u32 mask) {
  if (mask != kAll)
    fault(w, i, cudaErrorLaunchFailure, "a matrix instruction that not all lanes of the warp run together");
}

/// Rows of 8 16-bit elements; lanes 8j to 8j+7 hold the addresses of matrix j. flag: transposed.
Flow load_matrix(Warp& w, const Inst& i, u32 mask) {
  want_whole_warp(w, i, mask);
  u64 addresses[32];
  addresses_of(w, i, addresses);
  const u32* rows = &w.block->kernel->lists[i.list];
  for (int j = 0; j < i.count; ++j) {
    u16 m[8][8];
    for (int r = 0; r < 8; ++r) {
      std::memcpy(m[r], resolve_one(w, i, 8 * j + r, addresses[8 * j + r], 16, Use::kRead, i.space), 16);
    }
    for (int l = 0; l < 32; ++l) {
      const int r = l / 4, c = 2 * (l % 4);
      const u32 low = i.flag ? m[c][r] : m[r][c], high = i.flag ? m[c + 1][r] : m[r][c + 1];
      w.row<u32>(rows[j])[l] = high << 16 | low;
    }
  }
  return Flow::kNext;
}
Flow store_matrix(Warp& w, const Inst& i, u32 mask) {
  want_whole_warp(w, i, mask);
  u64 addresses[32];
  addresses_of(w, i, addresses);
  const u32* rows = &w.block->kernel->lists[i.list];
  for (int j = 0; j < i.count; ++j) {
    u16 m[8][8];
    for (int l = 0; l < 32; ++l) {
      const int r = l / 4, c = 2 * (l % 4);
      const u32 both = w.row<u32>(rows[j])[l];
      (i.flag ? m[c][r] : m[r][c]) = static_cast<u16>(both);
      (i.flag ? m[c + 1][r] : m[r][c + 1]) = static_cast<u16>(both >> 16);
    }
    for (int r = 0; r < 8; ++r) {
      std::memcpy(
          resolve_one(w, i, 8 * j + r, addresses[8 * j + r], 16, Use::kWrite, i.space, reinterpret_cast<u8*>(m[r])),
          m[r], 16);
    }
  }
  return Flow::kNext;
}

enum Element : u16 { kBf16, kF16, kTf32, kE4m3, kE5m2, kS8, kU8, kUnknown };
Element element_of(const std::string& type) {
  static constexpr const char* kNames[] = {"bf16", "f16", "tf32", "e4m3", "e5m2", "s8", "u8"};
  return static_cast<Element>(std::find(std::begin(kNames), std::end(kNames), type) - std::begin(kNames));
}
int bits_of(Element e) { return e == kTf32 ? 32 : e == kBf16 || e == kF16 ? 16 : 8; }

float element(u32 word, int index, Element e) {
  switch (e) {
    case kBf16:
      return from_bf16(static_cast<u16>(word >> 16 * index));
    case kF16:
      return from_f16(static_cast<u16>(word >> 16 * index));
    case kTf32:
      return std::bit_cast<float>(word & ~0x1fffu);
    case kE4m3:
      return from_f8(static_cast<u8>(word >> 8 * index), Float8::kE4M3);
    case kE5m2:
      return from_f8(static_cast<u8>(word >> 8 * index), Float8::kE5M2);
    case kS8:
      return static_cast<s8>(word >> 8 * index);
    default:
      return static_cast<u8>(word >> 8 * index);
  }
}

/// The shape m16n8kK: in aux the elements of A (4 bits) and B (4 bits), K (8 bits). The list: D, A, B, C. reg: 4
/// registers of D and C where they are 32 bits wide, 2 where they are halves. flag: D and C are integers.
struct Fragments {
  static constexpr int kMostK = 64;
  float a[16][kMostK], b[kMostK][8];
};

/// Register q of a lane holds `per` elements: of row g or g + 8, and of columns that go on every four lanes.
void gather(Warp& w, const Inst& i, Fragments& f, int k) {
  const u32* rows = &w.block->kernel->lists[i.list] + i.reg;
  const Element ea = static_cast<Element>(i.aux & 15), eb = static_cast<Element>(i.aux >> 4 & 15);
  const int per = 32 / bits_of(ea), columns = 4 * per;
  const int a_registers = 16 * k / 32 / per, b_registers = k * 8 / 32 / per;
  for (int q = 0; q < a_registers; ++q) {
    for (int l = 0; l < 32; ++l) {
      const u32 word = w.row<u32>(rows[q])[l];
      for (int h = 0; h < per; ++h)
        f.a[l / 4 + 8 * (q % 2)][per * (l % 4) + h + columns * (q / 2)] = element(word, h, ea);
    }
  }
  rows += a_registers;
  for (int q = 0; q < b_registers; ++q) {
    for (int l = 0; l < 32; ++l) {
      const u32 word = w.row<u32>(rows[q])[l];
      for (int h = 0; h < per; ++h) f.b[per * (l % 4) + h + columns * q][l / 4] = element(word, h, eb);
    }
  }
}

template <class Sum>
void multiply(const Fragments& f, int k, Sum (&c)[16][8]) {
  for (int row = 0; row < 16; ++row) {
    for (int at = 0; at < k; ++at) {
      for (int column = 0; column < 8; ++column) c[row][column] += static_cast<Sum>(f.a[row][at] * f.b[at][column]);
    }
  }
}

template <class Sum>
Flow matrix_multiply(Warp& w, const Inst& i, u32 mask) {
  want_whole_warp(w, i, mask);
  const int k = i.aux >> 8;
  static thread_local Fragments f;
  gather(w, i, f, k);
  const u32* d = &w.block->kernel->lists[i.list];
  const u32* c_rows = d + i.count - i.reg;
  Sum c[16][8];
  const bool halves = i.reg == 2;
  for (int l = 0; l < 32; ++l) {
    for (int q = 0; q < 4; ++q) {
      Sum& at = c[l / 4 + 8 * (q / 2)][2 * (l % 4) + q % 2];
      if (halves) {
        at = static_cast<Sum>(from_f16(static_cast<u16>(w.row<u32>(c_rows[q / 2])[l] >> 16 * (q % 2))));
      } else {
        at = w.row<Sum>(c_rows[q])[l];
      }
    }
  }
  multiply(f, k, c);
  for (int l = 0; l < 32; ++l) {
    for (int q = 0; q < 4; ++q) {
      const Sum at = c[l / 4 + 8 * (q / 2)][2 * (l % 4) + q % 2];
      if (halves) {
        u32& word = w.row<u32>(d[q / 2])[l];
        word = (word & (q % 2 != 0 ? 0xffffu : 0xffff0000u)) | static_cast<u32>(to_f16(static_cast<float>(at)))
                                                                   << 16 * (q % 2);
      } else {
        w.row<Sum>(d[q])[l] = at;
      }
    }
  }
  return Flow::kNext;
}

void decode_mma(Decoder& d) {
  if (!d.take("sync") || !d.take("aligned") || !d.take("row") || !d.take("col"))
    d.refuse("only mma.sync.aligned.row.col");
  const int shape = d.take_one({"m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"});
  if (shape < 0) d.refuse("this shape is not implemented");
  const int k = 4 << shape;
  // What is left: .dtype.atype.btype.ctype.
  if (d.take("satfinite")) d.refuse("saturation is not implemented");
  const std::vector<std::string> types = d.take_rest();
  if (types.size() != 4 || types[0] != types[3]) d.refuse("these types are not implemented");
  const std::string& c = types[3];
  const Element a = element_of(types[1]), b = element_of(types[2]);
  const bool integer = a == kS8 || a == kU8;
  const int per = 32 / bits_of(a);
  const bool fits =
      b != kUnknown && bits_of(a) == bits_of(b) && (integer ? c == "s32" : c == "f32" || (c == "f16" && a == kF16));
  if (!fits || 16 * k / 32 / per < 1 || k * 8 / 32 / per < 1) d.refuse("these types are not implemented");
  std::vector<std::string> all;
  for (size_t index = 0; index < 4; ++index) {
    for (const std::string& one : d.list(index)) all.push_back(one);
  }
  const u8 results = c == "f16" ? 2 : 4;
  d.list_rows(all, 4);
  if (static_cast<int>(all.size()) != 2 * results + 16 * k / 32 / per + k * 8 / 32 / per)
    d.refuse("too few or too many registers");
  d.inst.reg = results;
  d.inst.aux = static_cast<u16>(a | b << 4 | k << 8);
  d.emit(integer ? matrix_multiply<s32> : matrix_multiply<float>);
}

void decode_matrix_access(Decoder& d, bool loads) {
  if (!d.take("sync") || !d.take("aligned") || !d.take("m8n8")) d.refuse("only .sync.aligned.m8n8");
  if (d.take_type() != "b16") d.refuse("only .b16");
  const int count = d.take_one({"x1", "x2", "x4"});
  d.inst.flag = d.take("trans");
  d.space();
  d.address(loads ? 1 : 0);
  d.list_rows(d.list(loads ? 0 : 1), 4);
  if (count < 0 || d.inst.count != 1 << count) d.refuse("the list does not fit");
  d.emit(loads ? load_matrix : store_matrix);
}
void decode_ldmatrix(Decoder& d) { decode_matrix_access(d, true); }
void decode_stmatrix(Decoder& d) { decode_matrix_access(d, false); }

}  // namespace

void add_matrix(DecodeTable& table) {
  table["mma"] = decode_mma;
  table["ldmatrix"] = decode_ldmatrix;
  table["stmatrix"] = decode_stmatrix;
}

}  // namespace cudasim::ptx
