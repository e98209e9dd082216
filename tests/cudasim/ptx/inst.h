#pragma once
// A kernel as the interpreter runs it: instructions whose operands are places in a warp's register file. Decoded once
// per module and device, at the first launch.

#include <string>
#include <vector>

#include "tests/cudasim/core/types.h"

namespace cudasim::ptx {

struct Warp;
struct Inst;

/// What happens to the program counter after an instruction.
enum class Flow : u8 { kNext, kMoved };
/// Runs the instruction for the lanes of `mask`, which is never empty.
using Exec = Flow (*)(Warp&, const Inst&, u32 mask);

enum class Space : u8 { kGeneric, kGlobal, kShared, kLocal, kParam };

/// Generic addresses of what is not global memory: far from any address of the host.
inline constexpr u64 kSharedWindow = 1ull << 56, kLocalWindow = 2ull << 56, kParamWindow = 3ull << 56;
inline constexpr u64 kWindowBytes = 1ull << 32;
/// Dynamic shared memory has addresses of its own, so that an access past the end of the static part is seen.
inline constexpr u64 kDynamicShared = 1ull << 20;
inline constexpr u32 kNone = ~0u;  ///< no operand
inline constexpr u32 kAll = ~0u;   ///< all lanes

struct Inst {
  Exec exec = nullptr;
  s64 imm = 0;
  u32 d = kNone, a = kNone, b = kNone, c = kNone, e = kNone;  ///< byte offsets of rows, or numbers of predicates
  u32 list = 0;                                               ///< where its list of operands begins in Kernel::lists
  u32 target = 0;                                             ///< of a branch
  u32 index = 0;                                              ///< its place in Kernel::code
  s16 guard = -1;                                             ///< predicate, or none
  u16 aux = 0;                                                ///< whatever its family needs
  bool guard_not = false;
  u8 count = 1;            ///< of the list
  u8 memory = 4, reg = 4;  ///< bytes of an element in memory, and of its register
  Space space = Space::kGeneric;
  bool is_signed = false, weak = true, wide_address = true, flag = false;
};

struct Param {
  u32 offset, bytes;
};
struct Constant {
  u32 row;
  u8 size;
  u64 value;
};
enum class Special : u8 {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaX,
  kCtaY,
  kCtaZ,
  kNctaX,
  kNctaY,
  kNctaZ,
  kLane,
  kWarp,
  kNwarp,
  kMaskLt,
  kMaskLe,
  kMaskEq,
  kMaskGt,
  kMaskGe,
  kDynamicBytes,
  kTotalBytes,
  kClock,
  kZero
};
struct SpecialRow {
  u32 row;
  Special what;
  bool wide;  ///< 64 bits
};
struct Source {
  int line;
  std::string text;
};

struct Kernel {
  std::string name;   ///< mangled
  std::string title;  ///< for people
  std::vector<Param> params;
  u32 param_bytes = 0;
  u32 static_shared = 0;  ///< bytes
  u32 local_bytes = 0;    ///< of each lane
  u32 row_bytes = 0;      ///< the register file of a warp
  u32 predicates = 0;
  std::vector<Inst> code;
  std::vector<u32> lists;
  std::vector<Source> sources;  ///< beside code
  std::vector<Constant> constants;
  std::vector<SpecialRow> specials;
  std::vector<std::vector<u32>> tables;  ///< of brx.idx
};

}  // namespace cudasim::ptx
