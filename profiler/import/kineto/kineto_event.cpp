#include "profiler/import/kineto/kineto_event.h"

#include <array>
#include <charconv>
#include <span>
#include <string>

namespace shardscope {
namespace {

using Field = std::string_view KinetoEvent::*;

struct Key {
  std::string_view text;
  Field field;
};

constexpr Key kArguments[] = {
    {"External id", &KinetoEvent::external_id},
    {"external id", &KinetoEvent::external_id},
    {"correlation", &KinetoEvent::correlation},
    {"device", &KinetoEvent::device},
    {"stream", &KinetoEvent::stream},
    {"grid", &KinetoEvent::grid},
    {"block", &KinetoEvent::block},
    {"registers per thread", &KinetoEvent::registers},
    {"shared memory", &KinetoEvent::shared},
    {"bytes", &KinetoEvent::bytes},
    {"Bytes", &KinetoEvent::bytes},
    {"name", &KinetoEvent::arg_name},
    {"Collective name", &KinetoEvent::collective},
    {"In msg nelems", &KinetoEvent::in_elements},
    {"Out msg nelems", &KinetoEvent::out_elements},
    {"In msg size", &KinetoEvent::in_elements},
    {"Out msg size", &KinetoEvent::out_elements},
    {"Group size", &KinetoEvent::group_size},
    {"dtype", &KinetoEvent::dtype},
    {"In split size", &KinetoEvent::in_split},
    {"Out split size", &KinetoEvent::out_split},
    {"Process Group Name", &KinetoEvent::group_name},
    {"Process Group Description", &KinetoEvent::group_description},
    {"Process Group Ranks", &KinetoEvent::group_ranks},
    {"Src Rank", &KinetoEvent::source_rank},
    {"Dst Rank", &KinetoEvent::target_rank},
    {"Seq", &KinetoEvent::sequence},
    {"Comms Id", &KinetoEvent::communicator},
    {"Addr", &KinetoEvent::address},
    {"Total Allocated", &KinetoEvent::total_allocated},
    {"Total Reserved", &KinetoEvent::total_reserved},
    {"Device Type", &KinetoEvent::device_type},
    {"Device Id", &KinetoEvent::device_id},
    {"lane", &KinetoEvent::lane},
    {"phase", &KinetoEvent::phase},
    {"step", &KinetoEvent::step},
    {"flops", &KinetoEvent::flops},
    {"wait_ns", &KinetoEvent::wait},
    {"track", &KinetoEvent::track},
    {"group", &KinetoEvent::group},
    {"group_size", &KinetoEvent::members},
    {"collective_bytes", &KinetoEvent::collective_bytes},
    {"sequence", &KinetoEvent::sequence},
    {"communicator", &KinetoEvent::communicator},
};

constexpr Key kFields[] = {{"ph", &KinetoEvent::ph},   {"cat", &KinetoEvent::cat}, {"name", &KinetoEvent::name},
                           {"pid", &KinetoEvent::pid}, {"tid", &KinetoEvent::tid}, {"ts", &KinetoEvent::ts},
                           {"dur", &KinetoEvent::dur}};

/// Which field has a key, by a table that is made once: an event has some twenty of them.
class KeyTable {
 public:
  explicit KeyTable(std::span<const Key> keys) {
    for (const Key& key : keys) {
      std::size_t slot = slot_of(key.text);
      while (slots_[slot] != nullptr) slot = (slot + 1) % kSlots;
      slots_[slot] = &key;
    }
  }
  const Key* find(std::string_view text) const {
    if (text.empty()) return nullptr;
    for (std::size_t slot = slot_of(text); slots_[slot] != nullptr; slot = (slot + 1) % kSlots) {
      if (slots_[slot]->text == text) return slots_[slot];
    }
    return nullptr;
  }

 private:
  static constexpr std::size_t kSlots = 256;
  static std::size_t slot_of(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(text[i])); };
    return (byte(0) * 7 + byte(text.size() / 2) * 29 + byte(text.size() - 1) * 3 + text.size() * 61) % kSlots;
  }
  std::array<const Key*, kSlots> slots_{};
};

/// "{ key: value, ... }": on_key(key) reads the value.
template <class OnKey>
bool read_object(JsonCursor& cursor, OnKey&& on_key) {
  if (!cursor.take('{')) return false;
  if (cursor.take('}')) return true;
  std::string_view key;
  do {
    if (!cursor.text(key) || !cursor.take(':') || !on_key(key)) return false;
  } while (cursor.take(','));
  return cursor.take('}');
}

bool read_arguments(JsonCursor& cursor, KinetoEvent& event) {
  static const KeyTable table(kArguments);
  if (cursor.peek() != '{') return cursor.skip();
  return read_object(cursor, [&](std::string_view key) {
    const Key* known = table.find(key);
    return known != nullptr ? cursor.value(event.*(known->field)) : cursor.skip();
  });
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A decimal number times 10^power, rounded to the nearest whole one.
std::optional<std::int64_t> scaled(std::string_view text, int power) {
  constexpr std::int64_t kMost = INT64_MAX / 10 - 10;
  bool negative = false;
  std::size_t at = 0;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) negative = text[at++] == '-';
  std::int64_t value = 0;
  int decimals = 0, dropped = 0, digits = 0;
  bool fraction = false, rounds_up = false;
  for (; at < text.size() && (is_digit(text[at]) || (text[at] == '.' && !fraction)); ++at) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    ++digits;
    if (fraction && decimals >= power) {
      if (dropped++ == 0) rounds_up = text[at] >= '5';  // beyond what is kept
      continue;
    }
    if (value > kMost) return std::nullopt;
    value = value * 10 + (text[at] - '0');
    decimals += fraction ? 1 : 0;
  }
  if (digits == 0) return std::nullopt;
  if (at < text.size()) return std::nullopt;
  value += rounds_up ? 1 : 0;
  for (; decimals < power; ++decimals) {
    if (value > kMost) return std::nullopt;
    value *= 10;
  }
  return negative ? -value : value;
}

/// "1.5e+3" as digits, point moved: what is left of old writers' scientific notation.
std::optional<std::int64_t> scaled_scientific(std::string_view text, std::size_t e, int power) {
  int exponent = 0;
  const char* from = text.data() + e + 1;
  const char* end = text.data() + text.size();
  if (from != end && *from == '+') ++from;
  const auto [stop, error] = std::from_chars(from, end, exponent);
  if (error != std::errc() || stop != end || exponent < -40 || exponent > 40) return std::nullopt;
  std::string digits;
  const std::string_view mantissa = text.substr(0, e);
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  digits = mantissa.substr(0, point);
  const std::string_view fraction = point < mantissa.size() ? mantissa.substr(point + 1) : std::string_view();
  if (exponent >= 0) {
    const auto moved = static_cast<std::size_t>(exponent);
    digits += fraction.substr(0, std::min(moved, fraction.size()));
    digits.append(moved > fraction.size() ? moved - fraction.size() : 0, '0');
    if (moved < fraction.size()) (digits += '.') += fraction.substr(moved);
    return scaled(digits, power);
  }
  const bool sign = !digits.empty() && (digits[0] == '-' || digits[0] == '+');
  const std::string whole = digits.substr(sign ? 1 : 0);
  const auto moved = static_cast<std::size_t>(-exponent);
  const std::string padded = std::string(moved >= whole.size() ? moved - whole.size() + 1 : 0, '0') + whole;
  return scaled((sign ? digits.substr(0, 1) : "") + padded.substr(0, padded.size() - moved) + "." +
                    padded.substr(padded.size() - moved) + std::string(fraction),
                power);
}

std::optional<std::int64_t> decimal(std::string_view text, int power) {
  const std::size_t e = text.find_first_of("eE");
  return e == std::string_view::npos ? scaled(text, power) : scaled_scientific(text, e, power);
}

}  // namespace

bool read_event(JsonCursor& cursor, KinetoEvent& event) {
  static const KeyTable table(kFields);
  event = {};
  return read_object(cursor, [&](std::string_view key) {
    if (key == "args") return read_arguments(cursor, event);
    const Key* known = table.find(key);
    return known != nullptr ? cursor.value(event.*(known->field)) : cursor.skip();
  });
}

std::optional<std::int64_t> to_ns(std::string_view us) { return decimal(us, 3); }
std::optional<std::int64_t> to_integer(std::string_view number) { return decimal(number, 0); }

bool to_triple(std::string_view list, std::int64_t (&values)[3]) {
  if (list.size() < 2 || list.front() != '[') return false;
  list = list.substr(1, list.size() - 2);
  for (std::int64_t& value : values) {
    const std::size_t from = list.find_first_not_of(" \n\t\r");
    if (from == std::string_view::npos) return false;
    list.remove_prefix(from);
    const auto [stop, error] = std::from_chars(list.data(), list.data() + list.size(), value);
    if (error != std::errc() || value < 0) return false;
    list.remove_prefix(static_cast<std::size_t>(stop - list.data()));
    const std::size_t comma = list.find(',');
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return true;
}

}  // namespace shardscope
