// Arithmetic that sets or uses a lane's carry: add.cc, addc, sub.cc, subc, mad.cc, madc, of 32 and 64 bits.

#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

constexpr u16 kUses = 1, kSets = 2, kHigh = 4;  ///< of aux

enum class Form { kAdd, kSubtract, kMultiplyAdd };

template <class U, Form kForm>
Flow carry(Warp& w, const Inst& i, u32 mask) {
  using Wide = std::conditional_t<sizeof(U) == 4, u64, unsigned __int128>;
  constexpr int kBits = 8 * sizeof(U);
  const U *a = w.row<U>(i.a), *b = w.row<U>(i.b);
  U* d = w.row<U>(i.d);
  u32 out = 0;
  each_lane(mask, [&](int l) {
    const Wide in = (i.aux & kUses) != 0 ? w.carry >> l & 1 : 0;
    Wide sum = 0;
    if (kForm == Form::kAdd) {
      sum = static_cast<Wide>(a[l]) + b[l] + in;
    } else if (kForm == Form::kSubtract) {
      sum = static_cast<Wide>(a[l]) - b[l] - in;
    } else {
      const Wide product = static_cast<Wide>(a[l]) * b[l];
      sum =
          static_cast<Wide>(static_cast<U>((i.aux & kHigh) != 0 ? product >> kBits : product)) + w.row<U>(i.c)[l] + in;
    }
    out |= static_cast<u32>((sum >> kBits & 1) != 0) << l;  // of a difference: the borrow
    d[l] = static_cast<U>(sum);
  });
  if ((i.aux & kSets) != 0) w.carry = (w.carry & ~mask) | out;
  return Flow::kNext;
}

template <Form kForm>
Exec pick(int bytes) {
  return bytes == 4 ? Exec{carry<u32, kForm>} : bytes == 8 ? Exec{carry<u64, kForm>} : nullptr;
}

template <Form kForm>
void decode(Decoder& d, const std::string& type, bool sets, bool uses) {
  const int bytes = type_bytes(type);
  d.inst.aux = static_cast<u16>((uses ? kUses : 0) | (sets ? kSets : 0));
  if (kForm == Form::kMultiplyAdd) {
    const int half = d.take_one({"lo", "hi"});
    if (half < 0) d.refuse("neither .lo nor .hi");
    if (half == 1 && type[0] == 's') d.refuse("a signed high half with a carry");
    if (half == 1) d.inst.aux |= kHigh;
    d.inst.c = d.row(3, bytes);
  }
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  d.inst.b = d.row(2, bytes);
  d.emit(pick<kForm>(bytes));
}

template <Form kForm>
void decode_using(Decoder& d) {
  const std::string type = d.take_type();
  const bool sets = d.take("cc");
  decode<kForm>(d, type, sets, true);
}

}  // namespace

void carry_add(Decoder& d, const std::string& type) { decode<Form::kAdd>(d, type, true, false); }
void carry_sub(Decoder& d, const std::string& type) { decode<Form::kSubtract>(d, type, true, false); }
void carry_mad(Decoder& d, const std::string& type) { decode<Form::kMultiplyAdd>(d, type, true, false); }

void add_carry(DecodeTable& table) {
  table["addc"] = decode_using<Form::kAdd>;
  table["subc"] = decode_using<Form::kSubtract>;
  table["madc"] = decode_using<Form::kMultiplyAdd>;
}

}  // namespace cudasim::ptx
