// Source: CPython's Lib/pickletools.py (what each opcode does to the stack).

#include "core/engine/checkpoint/deepspeed/pickle.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "core/error.h"

namespace shardscope {
namespace {

using Kind = PickleNode::Kind;

struct CutShort : Error {
  using Error::Error;
};

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes) { pickle_.file = file; }

  Pickle run() {
    while (true) {
      op_at_ = at_;
      const auto op = static_cast<unsigned char>(take(1)[0]);
      if (op == '.') break;
      step(op);
    }
    pickle_.top = pop();
    return std::move(pickle_);
  }

  Pickle run_to_cut(bool& cut_short) {
    cut_short = false;
    try {
      return run();
    } catch (const CutShort&) {
      if (stack_.empty()) throw;
    }
    cut_short = true;
    while (!marks_.empty()) {
      const std::vector<std::int32_t> values = pop_to_mark();
      if (stack_.size() <= floor()) continue;  // nothing to put it into
      put_into(node(stack_.back()), values);
      if (is_unfinished_item()) stack_.pop_back();
    }
    if (stack_.empty()) fail("ends before its first value");
    put_into(node(stack_.front()), {stack_.begin() + 1, stack_.end()});
    pickle_.top = stack_.front();
    return std::move(pickle_);
  }

 private:
  /// The container on top of the stack, of which something was missing: as an item of a list it is left out.
  bool is_unfinished_item() {
    const auto is_list = [&](std::size_t i) { return node(stack_[i]).kind == Kind::kList; };
    const bool in_list = !marks_.empty() && marks_.back() > 0 && is_list(marks_.back() - 1);
    return node(stack_.back()).kind == Kind::kDict && (in_list || (stack_.size() > 1 && is_list(stack_.size() - 2)));
  }
  /// Values that were on their way into a list or dict. In a dict, what stands where a key should, and is no text, was
  /// on its way into the list before it.
  void put_into(PickleNode& container, const std::vector<std::int32_t>& values) {
    if (container.kind == Kind::kList) container.items.insert(container.items.end(), values.begin(), values.end());
    if (container.kind != Kind::kDict) return;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (node(values[i]).kind == Kind::kText) {
        if (++i == values.size()) return;
        container.items.insert(container.items.end(), {values[i - 1], values[i]});
      } else if (i > 0 && node(values[i - 1]).kind == Kind::kList) {
        node(values[i - 1]).items.push_back(values[i]);
      }
    }
  }

  void step(unsigned char op) {
    if (scalar(op) || text(op) || container(op) || object(op) || memo(op)) return;
    fail(fmt::format("has opcode 0x{:02x}, which is none that data needs", op));
  }

  bool scalar(unsigned char op) {
    switch (op) {
      case 0x80:  // PROTO
        if (const int protocol = number<std::uint8_t>(); protocol > 5) fail(fmt::format("is of protocol {}", protocol));
        return true;
      case 0x95:  // FRAME
        number<std::uint64_t>();
        return true;
      case 'N':
        return push({.kind = Kind::kNone});
      case 0x88:
        return push({.kind = Kind::kBool, .integer = 1});
      case 0x89:
        return push({.kind = Kind::kBool, .integer = 0});
      case 'J':
        return push_integer(number<std::int32_t>());
      case 'K':
        return push_integer(number<std::uint8_t>());
      case 'M':
        return push_integer(number<std::uint16_t>());
      case 'I':
      case 'L':
        return push_decimal(line());
      case 0x8a:  // LONG1
        return push_long(take(number<std::uint8_t>()));
      case 0x8b:  // LONG4
        return push_long(take(length(number<std::int32_t>())));
      case 'G':
        return push({.kind = Kind::kReal, .real = big_endian_real()});
      case 'F':
        return push({.kind = Kind::kReal, .real = std::strtod(std::string(line()).c_str(), nullptr)});
      default:
        return false;
    }
  }

  bool text(unsigned char op) {
    switch (op) {
      case 'U':
      case 'C':
      case 0x8c:  // SHORT_BINSTRING, SHORT_BINBYTES, SHORT_BINUNICODE
        return push_text(take(number<std::uint8_t>()));
      case 'T':
      case 'B':
      case 'X':  // BINSTRING, BINBYTES, BINUNICODE
        return push_text(take(number<std::uint32_t>()));
      case 0x8d:
      case 0x8e:
      case 0x96:  // BINUNICODE8, BINBYTES8, BYTEARRAY8
        return push_text(take(length(number<std::uint64_t>())));
      case 'S':
      case 'V': {
        const std::string_view given = line();
        return push({.kind = Kind::kText, .text = std::string(given)});
      }
      default:
        return false;
    }
  }

  bool container(unsigned char op) {
    switch (op) {
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case ']':
      case ')':
      case 0x8f:  // EMPTY_SET
        return push({.kind = Kind::kList});
      case '}':
        return push({.kind = Kind::kDict});
      case 't':
      case 'l':
      case 0x91:  // TUPLE, LIST, FROZENSET
        return push({.kind = Kind::kList, .items = pop_to_mark()});
      case 'd':
        return push({.kind = Kind::kDict, .items = pairs(pop_to_mark())});
      case 0x85:
      case 0x86:
      case 0x87:  // TUPLE1 to 3
        return push({.kind = Kind::kList, .items = pop_many(op - 0x84)});
      case 'a':
        return append(pop_many(1));
      case 'e':
      case 0x90:  // APPENDS, ADDITEMS
        return append(pop_to_mark());
      case 's':
        return set_items(pop_many(2));
      case 'u':
        return set_items(pop_to_mark());
      case '0':
        pop();
        return true;
      case '1':
        pop_to_mark();
        return true;
      case '2':
        stack_.push_back(peek());
        return true;
      default:
        return false;
    }
  }

  bool object(unsigned char op) {
    switch (op) {
      case 'c': {
        const std::string module(line());
        return push({.kind = Kind::kGlobal, .text = module + " " + std::string(line())});
      }
      case 0x93: {  // STACK_GLOBAL
        const std::vector<std::int32_t> names = pop_many(2);
        if (node(names[0]).kind != Kind::kText || node(names[1]).kind != Kind::kText) fail("names a class by no text");
        return push({.kind = Kind::kGlobal, .text = node(names[0]).text + " " + node(names[1]).text});
      }
      case 'R':
      case 0x81: {  // REDUCE, NEWOBJ
        const std::vector<std::int32_t> call = pop_many(2);
        return push({.kind = Kind::kCall, .callee = call[0], .arguments = call[1]});
      }
      case 0x92: {  // NEWOBJ_EX: the keyword arguments count as state
        const std::vector<std::int32_t> call = pop_many(3);
        return push({.kind = Kind::kCall, .callee = call[0], .arguments = call[1], .state = call[2]});
      }
      case 'b': {
        const std::int32_t state = pop();
        node(peek()).state = state;
        return true;
      }
      case 'Q':
        return push({.kind = Kind::kPersistent, .items = pop_many(1)});
      default:
        return false;
    }
  }

  bool memo(unsigned char op) {
    switch (op) {
      case 'q':
        return put(number<std::uint8_t>());
      case 'r':
        return put(number<std::uint32_t>());
      case 0x94:  // MEMOIZE
        return put(memo_.size());
      case 'h':
        return get(number<std::uint8_t>());
      case 'j':
        return get(number<std::uint32_t>());
      case 'p':
        return put(memo_number());
      case 'g':
        return get(memo_number());
      default:
        return false;
    }
  }

  // ---- bytes

  std::span<const std::byte> take(std::uint64_t n) {
    if (n > bytes_.size() - at_) fail<CutShort>("ends in the middle of a value: it is cut short");
    const std::span<const std::byte> part = bytes_.subspan(at_, n);
    at_ += n;
    return part;
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  template <class T>
  std::uint64_t length(T n) {
    if constexpr (std::is_signed_v<T>) {
      if (n < 0) fail("has a negative length");
    }
    return static_cast<std::uint64_t>(n);
  }

  double big_endian_real() {
    auto bits = number<std::uint64_t>();
    bits = __builtin_bswap64(bits);
    return std::bit_cast<double>(bits);
  }

  std::string_view line() {
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
    const void* end = std::memchr(begin, '\n', bytes_.size() - at_);
    if (end == nullptr) fail<CutShort>("ends in the middle of a line: it is cut short");
    const auto n = static_cast<std::size_t>(static_cast<const char*>(end) - begin);
    at_ += n + 1;
    return {begin, n};
  }

  // ---- the stack

  bool push(PickleNode node) {
    if (pickle_.nodes.size() >= kMaxPickleNodes) fail(fmt::format("holds more than {} values", kMaxPickleNodes));
    stack_.push_back(static_cast<std::int32_t>(pickle_.nodes.size()));
    pickle_.nodes.push_back(std::move(node));
    return true;
  }
  bool push_integer(std::int64_t value) { return push({.kind = Kind::kInteger, .integer = value}); }
  bool push_text(std::span<const std::byte> bytes) {
    return push({.kind = Kind::kText, .text = {reinterpret_cast<const char*>(bytes.data()), bytes.size()}});
  }
  /// "12", "12L", and "00" and "01" for false and true.
  bool push_decimal(std::string_view text) {
    if (text == "00" || text == "01") return push({.kind = Kind::kBool, .integer = text == "01" ? 1 : 0});
    if (text.ends_with('L')) text.remove_suffix(1);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) fail("has an integer that is none of 64 bits");
    return push_integer(value);
  }
  /// Two's complement, least byte first.
  bool push_long(std::span<const std::byte> bytes) {
    if (bytes.size() > 8) return push({.kind = Kind::kReal, .real = long_as_real(bytes)});
    std::uint64_t value = !bytes.empty() && (bytes.back() & std::byte{0x80}) != std::byte{0} ? ~std::uint64_t{0} : 0;
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return push_integer(static_cast<std::int64_t>(value));
  }
  static double long_as_real(std::span<const std::byte> bytes) {
    double value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value * 256 + static_cast<double>(bytes[i]);
    return value;
  }

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  std::int32_t peek() {
    if (stack_.size() <= floor()) fail("takes a value where there is none");
    return stack_.back();
  }
  std::int32_t pop() {
    const std::int32_t value = peek();
    stack_.pop_back();
    return value;
  }
  std::vector<std::int32_t> pop_many(std::size_t n) {
    if (stack_.size() < floor() + n) fail("takes a value where there is none");
    std::vector<std::int32_t> values(stack_.end() - static_cast<std::ptrdiff_t>(n), stack_.end());
    stack_.resize(stack_.size() - n);
    return values;
  }
  std::vector<std::int32_t> pop_to_mark() {
    if (marks_.empty()) fail("closes what was never opened");
    std::vector<std::int32_t> values(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return values;
  }
  std::vector<std::int32_t> pairs(std::vector<std::int32_t> values) {
    if (values.size() % 2 != 0) fail("has a key without a value");
    return values;
  }

  bool append(const std::vector<std::int32_t>& values) {
    PickleNode& list = node(peek());
    if (list.kind != Kind::kList && list.kind != Kind::kCall) fail("appends to what is no list");
    list.items.insert(list.items.end(), values.begin(), values.end());
    return true;
  }
  bool set_items(const std::vector<std::int32_t>& values) {
    PickleNode& dict = node(peek());
    if (dict.kind != Kind::kDict && dict.kind != Kind::kCall) fail("sets a key of what is no dict");
    const std::vector<std::int32_t> checked = pairs(values);
    dict.items.insert(dict.items.end(), checked.begin(), checked.end());
    return true;
  }

  std::uint64_t memo_number() {
    const std::string_view text = line();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) fail("remembers under what is no number");
    return value;
  }
  bool put(std::uint64_t key) {
    memo_[key] = peek();
    return true;
  }
  bool get(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) fail(fmt::format("recalls {}, which it never remembered", key));
    stack_.push_back(found->second);
    return true;
  }

  PickleNode& node(std::int32_t index) { return pickle_.nodes[static_cast<std::size_t>(index)]; }
  template <class Failure = Error>
  [[noreturn]] void fail(const std::string& what) const {
    throw Failure(ErrorKind::kParse, fmt::format("{}: its pickle {} (byte {})", pickle_.file, what, op_at_));
  }

  std::span<const std::byte> bytes_;
  std::size_t at_ = 0, op_at_ = 0;
  Pickle pickle_;
  std::vector<std::int32_t> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, std::int32_t> memo_;
};

}  // namespace

PickleValue Pickle::root() const { return {this, top}; }

std::optional<std::int64_t> PickleValue::integer() const {
  if (!is(Kind::kInteger) && !is(Kind::kBool)) return std::nullopt;
  return node().integer;
}

std::optional<double> PickleValue::number() const {
  if (is(Kind::kReal)) return node().real;
  if (is(Kind::kInteger)) return static_cast<double>(node().integer);
  return std::nullopt;
}

std::optional<std::string> PickleValue::text() const {
  if (!is(Kind::kText)) return std::nullopt;
  return node().text;
}

std::string PickleValue::global() const { return is(Kind::kGlobal) ? node().text : ""; }
PickleValue PickleValue::callee() const { return is(Kind::kCall) ? child(node().callee) : PickleValue(); }
PickleValue PickleValue::arguments() const { return is(Kind::kCall) ? child(node().arguments) : PickleValue(); }
PickleValue PickleValue::state() const { return is(Kind::kCall) ? child(node().state) : PickleValue(); }

PickleValue PickleValue::persistent_id() const {
  return is(Kind::kPersistent) ? child(node().items[0]) : PickleValue();
}

bool PickleValue::has_pairs() const { return is(Kind::kDict) || is(Kind::kCall); }

std::size_t PickleValue::size() const {
  if (is(Kind::kList)) return node().items.size();
  return has_pairs() ? node().items.size() / 2 : 0;
}

PickleValue PickleValue::operator[](std::size_t i) const {
  return is(Kind::kList) && i < size() ? child(node().items[i]) : PickleValue();
}

PickleValue PickleValue::key(std::size_t i) const {
  return has_pairs() && i < size() ? child(node().items[2 * i]) : PickleValue();
}

PickleValue PickleValue::value(std::size_t i) const {
  return has_pairs() && i < size() ? child(node().items[2 * i + 1]) : PickleValue();
}

PickleValue PickleValue::operator[](std::string_view wanted) const {
  for (std::size_t i = 0; i < (has_pairs() ? size() : 0); ++i) {
    if (key(i).is(Kind::kText) && key(i).node().text == wanted) return value(i);
  }
  return {};
}

PickleValue PickleValue::at(std::int64_t wanted) const {
  for (std::size_t i = 0; i < (has_pairs() ? size() : 0); ++i) {
    if (key(i).integer() == wanted) return value(i);
  }
  return {};
}

Pickle parse_pickle(std::span<const std::byte> bytes, const std::string& file) { return Machine(bytes, file).run(); }

Pickle parse_beginning(std::span<const std::byte> bytes, const std::string& file, bool& cut_short) {
  return Machine(bytes, file).run_to_cut(cut_short);
}

}  // namespace shardscope
