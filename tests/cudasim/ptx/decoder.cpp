#include "tests/cudasim/ptx/decoder.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "tests/cudasim/ptx/text.h"

namespace cudasim::ptx {

namespace {

const std::map<std::string, Special>& special_names() {
  static const std::map<std::string, Special> names{{"%tid.x", Special::kTidX},
                                                    {"%tid.y", Special::kTidY},
                                                    {"%tid.z", Special::kTidZ},
                                                    {"%ntid.x", Special::kNtidX},
                                                    {"%ntid.y", Special::kNtidY},
                                                    {"%ntid.z", Special::kNtidZ},
                                                    {"%ctaid.x", Special::kCtaX},
                                                    {"%ctaid.y", Special::kCtaY},
                                                    {"%ctaid.z", Special::kCtaZ},
                                                    {"%nctaid.x", Special::kNctaX},
                                                    {"%nctaid.y", Special::kNctaY},
                                                    {"%nctaid.z", Special::kNctaZ},
                                                    {"%laneid", Special::kLane},
                                                    {"%warpid", Special::kWarp},
                                                    {"%nwarpid", Special::kNwarp},
                                                    {"%lanemask_lt", Special::kMaskLt},
                                                    {"%lanemask_le", Special::kMaskLe},
                                                    {"%lanemask_eq", Special::kMaskEq},
                                                    {"%lanemask_gt", Special::kMaskGt},
                                                    {"%lanemask_ge", Special::kMaskGe},
                                                    {"%dynamic_smem_size", Special::kDynamicBytes},
                                                    {"%total_smem_size", Special::kTotalBytes},
                                                    {"%smid", Special::kZero},
                                                    {"%clock", Special::kClock},
                                                    {"%clock64", Special::kClock},
                                                    {"%globaltimer", Special::kClock},
                                                    {"%envreg2", Special::kZero},
                                                    {"%envreg1", Special::kZero}};
  return names;
}

}  // namespace

u32 Rows::add(u32 bytes) {
  const u32 at = (kernel_.row_bytes + 63) & ~63u;
  kernel_.row_bytes = at + 32 * bytes;
  return at;
}

u32 Rows::constant(u64 value, u8 bytes) {
  if (bytes < 8) value &= (1ull << (8 * bytes)) - 1;
  const auto [found, fresh] = constants_.try_emplace({value, bytes}, 0);
  if (fresh) {
    found->second = add(bytes);
    kernel_.constants.push_back({found->second, bytes, value});
  }
  return found->second;
}

u32 Rows::special(Special what, bool wide) {
  const auto [found, fresh] = specials_.try_emplace({what, wide}, 0);
  if (fresh) {
    found->second = add(wide ? 8 : 4);
    kernel_.specials.push_back({found->second, what, wide});
  }
  return found->second;
}

void Decoder::begin(const std::string& statement, int line) {
  inst = Inst{};
  statement_ = statement;
  line_ = line;
  std::string rest = statement;
  if (rest[0] == '@') {
    const size_t end = rest.find_first_of(" \t");
    inst.guard = static_cast<s16>(predicate(rest.substr(1, end - 1), &inst.guard_not));
    rest = trim(rest.substr(end));
  }
  const size_t end = rest.find_first_of(" \t");
  modifiers_ = split(rest.substr(0, end), '.');
  opcode_ = modifiers_.at(0);
  modifiers_.erase(modifiers_.begin());
  args_ = end == std::string::npos ? std::vector<std::string>{} : split(rest.substr(end), ',');
}

bool Decoder::take(const std::string& modifier) {
  const auto found = std::find(modifiers_.begin(), modifiers_.end(), modifier);
  if (found == modifiers_.end()) return false;
  modifiers_.erase(found);
  return true;
}

int Decoder::take_one(std::initializer_list<const char*> list) {
  int index = 0;
  for (const char* modifier : list) {
    if (take(modifier)) return index;
    ++index;
  }
  return -1;
}

std::optional<std::string> Decoder::take_type_if() {
  const auto found = std::find_if(modifiers_.rbegin(), modifiers_.rend(), is_type);
  if (found == modifiers_.rend()) return std::nullopt;
  std::string type = *found;
  modifiers_.erase(std::next(found).base());
  return type;
}

std::string Decoder::take_type() {
  auto type = take_type_if();
  if (!type) refuse("no type");
  return *type;
}

std::vector<std::string> Decoder::take_rest() { return std::exchange(modifiers_, {}); }

const std::string& Decoder::arg(size_t index) const {
  if (index >= args_.size()) refuse("too few operands");
  return args_[index];
}

u32 Decoder::row_of(const std::string& operand, int bytes, u8* register_bytes) {
  if (register_bytes != nullptr) *register_bytes = static_cast<u8>(bytes);
  if (const auto found = names_.registers.find(operand); found != names_.registers.end()) {
    if (found->second.predicate) refuse("a predicate where a value is wanted: " + operand);
    if (register_bytes == nullptr && found->second.bytes != bytes)
      refuse("the register's size does not fit: " + operand);
    if (register_bytes != nullptr) *register_bytes = found->second.bytes;
    return found->second.row;
  }
  if (const auto found = special_names().find(operand); found != special_names().end()) {
    const bool wide = operand == "%clock64" || operand == "%globaltimer";
    if (register_bytes != nullptr) *register_bytes = wide ? 8 : 4;
    if (register_bytes == nullptr && bytes != (wide ? 8 : 4))
      refuse("the special register's size does not fit: " + operand);
    return rows_.special(found->second, wide);
  }
  const char first = operand.empty() ? ' ' : operand[0];
  if (std::isdigit(static_cast<unsigned char>(first)) != 0 || first == '-') {
    return rows_.constant(literal_bits(operand), static_cast<u8>(bytes));
  }
  const size_t plus = operand.find('+');
  const std::string name = trim(operand.substr(0, plus));
  const u64 offset = plus == std::string::npos ? 0 : literal_bits(trim(operand.substr(plus + 1)));
  if (const auto found = names_.symbols.find(name); found != names_.symbols.end()) {
    const u64 window = found->second.space == Space::kParam ? kParamWindow : 0;
    return rows_.constant(window + found->second.at + offset, static_cast<u8>(bytes));
  }
  if (const auto found = module_.variables().find(name); found != module_.variables().end()) {
    return rows_.constant(found->second.address + offset, static_cast<u8>(bytes));
  }
  refuse("unknown operand " + operand);
}

u32 Decoder::target_row(size_t index, int bytes, u8* register_bytes) {
  if (!names_.registers.contains(arg(index))) refuse("no register to write: " + arg(index));
  return row(index, bytes, register_bytes);
}

u32 Decoder::predicate(const std::string& operand, bool* negated) {
  std::string name = operand;
  if (negated != nullptr) {
    *negated = name[0] == '!';
    if (*negated) name = trim(name.substr(1));
  }
  const auto found = names_.registers.find(name);
  if (found == names_.registers.end() || !found->second.predicate) refuse("no predicate " + operand);
  return found->second.row;
}

void Decoder::address(size_t index) {
  const std::string& operand = arg(index);
  if (operand.size() < 3 || operand[0] != '[') refuse("no address: " + operand);
  const std::string inside = trim(operand.substr(1, operand.size() - 2));
  const size_t sign = inside.find_first_of("+-", 1);
  const std::string base = trim(inside.substr(0, sign));
  inst.imm = sign == std::string::npos
                 ? 0
                 : static_cast<s64>(literal_bits(trim(inside.substr(inside[sign] == '+' ? sign + 1 : sign))));
  if (const auto found = names_.symbols.find(base); found != names_.symbols.end()) {
    if (inst.space == Space::kParam)
      inst.space = found->second.space;  // a parameter of a device function is local memory
    if (inst.space != found->second.space) refuse("the symbol is of another space: " + base);
    inst.imm += static_cast<s64>(found->second.at);
    inst.a = kNone;
    return;
  }
  u8 bytes = 8;
  inst.a = row_of(base, 8, &bytes);
  inst.wide_address = bytes == 8;
}

std::vector<std::string> Decoder::list(size_t index) {
  const std::string& operand = arg(index);
  if (operand[0] != '{') return {operand};
  return split(operand.substr(1, operand.size() - 2), ',');
}

void Decoder::list_rows(const std::vector<std::string>& operands, int bytes) {
  inst.list = static_cast<u32>(kernel_.lists.size());
  inst.count = static_cast<u8>(operands.size());
  inst.reg = static_cast<u8>(bytes);
  for (const std::string& operand : operands) {
    kernel_.lists.push_back(operand == "_" ? kNone : row_of(operand, bytes, &inst.reg));
  }
}

u32 Decoder::table(std::vector<u32> targets) {
  kernel_.tables.push_back(std::move(targets));
  return static_cast<u32>(kernel_.tables.size() - 1);
}

void Decoder::space() {
  switch (take_one({"global", "shared", "shared::cta", "local", "param", "const"})) {
    case 0:
      inst.space = Space::kGlobal;
      break;
    case 1:
    case 2:
      inst.space = Space::kShared;
      break;
    case 3:
      inst.space = Space::kLocal;
      break;
    case 4:
      inst.space = Space::kParam;
      break;
    case 5:
      inst.space = Space::kGlobal;
      break;
    default:
      inst.space = Space::kGeneric;
  }
}

void Decoder::emit(Exec exec) {
  if (exec == nullptr) refuse("not for this type");
  if (!modifiers_.empty()) refuse("modifier ." + modifiers_.front() + " is not implemented");
  inst.exec = exec;
  inst.index = static_cast<u32>(kernel_.code.size());
  kernel_.code.push_back(inst);
  kernel_.sources.push_back({line_, statement_});
}

void Decoder::refuse(const std::string& why) const {
  throw Fault{cudaErrorInvalidPtx, "PTX, kernel " + kernel_.title.substr(0, 160) + ", line " + std::to_string(line_) +
                                       ": '" + statement_ + "': " + why};
}

const DecodeTable& decode_table() {
  static const DecodeTable table = [] {
    DecodeTable out;
    for (auto add : {add_integer, add_carry, add_bits, add_float, add_compare, add_move, add_convert, add_memory,
                     add_atomic, add_async_copy, add_matrix, add_warp, add_control}) {
      add(out);
    }
    return out;
  }();
  return table;
}

}  // namespace cudasim::ptx
