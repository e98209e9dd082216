#pragma once
// One statement on its way to an instruction. A family's decoder takes the modifiers it knows and the operands it
// needs; a modifier that nobody took is an error with the statement's text, so that nothing is ignored.
//
//   void decode_add(Decoder& d) {
//     const std::string type = d.take_type();
//     d.inst.d = d.row(0, 4); ...
//     d.emit(exec);
//   }

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/cudasim/ptx/inst.h"
#include "tests/cudasim/ptx/module.h"

namespace cudasim::ptx {

struct Register {
  u32 row;  ///< or the predicate's number
  u8 bytes;
  bool predicate;
};
struct Symbol {
  Space space;
  u64 at;
};

/// What names mean at a place of a function's body; braces open an inner one.
struct Names {
  std::map<std::string, Register> registers;
  std::map<std::string, Symbol> symbols;
};

/// The register file under construction.
class Rows {
 public:
  explicit Rows(Kernel& kernel) : kernel_(kernel) {}
  u32 add(u32 bytes);
  u32 constant(u64 value, u8 bytes);
  u32 special(Special what, bool wide);

 private:
  Kernel& kernel_;
  std::map<std::pair<u64, int>, u32> constants_;
  std::map<std::pair<Special, bool>, u32> specials_;
};

class Decoder {
 public:
  Decoder(const Module& module, Kernel& kernel, Rows& rows, Names& names)
      : module_(module), kernel_(kernel), rows_(rows), names_(names) {}

  /// "@!%p1 add.f32 %f1, %f2, %f3"
  void begin(const std::string& statement, int line);
  const std::string& opcode() const { return opcode_; }

  bool take(const std::string& modifier);
  /// The place in `list` of the modifier that was there; none: -1.
  int take_one(std::initializer_list<const char*> list);
  std::string take_type();                    ///< the last type that is left; refuses where there is none
  std::optional<std::string> take_type_if();  ///< the same, or nothing

  std::vector<std::string> take_rest();  ///< all modifiers that are left, in their order

  size_t args() const { return args_.size(); }
  const std::string& arg(size_t index) const;
  /// The row of an operand of `bytes`: a register, a literal, a special register, the address of a symbol.
  u32 row(size_t index, int bytes, u8* register_bytes = nullptr) { return row_of(arg(index), bytes, register_bytes); }
  u32 row_of(const std::string& operand, int bytes, u8* register_bytes = nullptr);
  u32 target_row(size_t index, int bytes, u8* register_bytes = nullptr);  ///< of what is written: a register
  u32 predicate(const std::string& operand, bool* negated = nullptr);
  void address(size_t index);  ///< into inst.a, imm, wide_address, and inst.space where it is a parameter
  std::vector<std::string> list(size_t index);  ///< "{a, b}" or "a"
  void list_rows(const std::vector<std::string>& operands,
                 int bytes);  ///< into Kernel::lists, with inst.list and count
  u32 table(std::vector<u32> targets);
  void space();  ///< takes .global, .shared, ... into inst.space

  /// The instruction is complete. Refuses where a modifier is left, or `exec` is null.
  void emit(Exec exec);
  [[noreturn]] void refuse(const std::string& why) const;

  Inst inst;
  const Module& module() const { return module_; }
  Kernel& kernel() { return kernel_; }
  Names& names() { return names_; }
  Rows& rows() { return rows_; }

 private:
  const Module& module_;
  Kernel& kernel_;
  Rows& rows_;
  Names& names_;
  std::string statement_, opcode_;
  int line_ = 0;
  std::vector<std::string> modifiers_, args_;
};

using Decode = void (*)(Decoder&);
using DecodeTable = std::map<std::string, Decode>;
/// All opcodes that are implemented, except branches and calls, which ptx/body.cpp knows.
const DecodeTable& decode_table();

/// Families.
void add_integer(DecodeTable& table);
void add_bits(DecodeTable& table);
void add_carry(DecodeTable& table);
void add_float(DecodeTable& table);
void add_compare(DecodeTable& table);
void add_move(DecodeTable& table);
void add_convert(DecodeTable& table);
void add_memory(DecodeTable& table);
void add_atomic(DecodeTable& table);
void add_async_copy(DecodeTable& table);
void add_matrix(DecodeTable& table);
void add_warp(DecodeTable& table);
void add_control(DecodeTable& table);

/// Arithmetic that several opcodes share (ptx/ops_half.cpp, ops_rounded.cpp): null where there is none.
Exec half_exec(const std::string& opcode, const std::string& type, bool nan);
Exec rounded_exec(const std::string& opcode, const std::string& type);
Flow branch(Warp& w, const Inst& inst, u32 mask);
Flow branch_table(Warp& w, const Inst& inst, u32 mask);

}  // namespace cudasim::ptx
