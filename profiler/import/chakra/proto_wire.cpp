#include "profiler/import/chakra/proto_wire.h"

#include <bit>
#include <cstring>

namespace shardscope {
namespace {

enum Wire : std::uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void append_varint(std::string& text, std::uint64_t value) {
  while (value >= 0x80) {
    text += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  text += static_cast<char>(value);
}

/// Little-endian, of 4 or 8 bytes.
std::optional<std::uint64_t> take_fixed(std::string_view& bytes, std::size_t size) {
  if (bytes.size() < size) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  bytes.remove_prefix(size);
  return value;
}

}  // namespace

std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size() && i < 10; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    value |= std::uint64_t{byte & 0x7fU} << (7 * i);
    if (byte < 0x80) {
      bytes.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

bool ProtoReader::next() {
  if (rest_.empty() || !sound_) return false;
  bytes_ = {};
  const auto tag = take_varint(rest_);
  std::optional<std::uint64_t> value;
  wire_ = tag ? static_cast<std::uint32_t>(*tag & 7) : 7;
  if (wire_ == kVarint || wire_ == kBytes) value = take_varint(rest_);
  if (wire_ == kFixed64) value = take_fixed(rest_, 8);
  if (wire_ == kFixed32) value = take_fixed(rest_, 4);
  sound_ = value && *tag >> 3 != 0 && *tag >> 3 <= 0x1fffffff && (wire_ != kBytes || *value <= rest_.size());
  if (!sound_) return false;
  field_ = static_cast<std::uint32_t>(*tag >> 3);
  value_ = *value;
  if (wire_ == kBytes) {
    bytes_ = rest_.substr(0, static_cast<std::size_t>(value_));
    rest_.remove_prefix(bytes_.size());
  }
  return true;
}

double ProtoReader::real() const {
  if (wire_ == kFixed64) return std::bit_cast<double>(value_);
  return wire_ == kFixed32 ? std::bit_cast<float>(static_cast<std::uint32_t>(value_)) : 0;
}

void ProtoText::varint(std::uint32_t field, std::uint64_t value) {
  append_varint(text_, std::uint64_t{field} << 3 | kVarint);
  append_varint(text_, value);
}

void ProtoText::bytes(std::uint32_t field, std::string_view value) {
  append_varint(text_, std::uint64_t{field} << 3 | kBytes);
  append_varint(text_, value.size());
  text_ += value;
}

void ProtoText::real(std::uint32_t field, double value) {
  append_varint(text_, std::uint64_t{field} << 3 | kFixed64);
  const auto bits = std::bit_cast<std::uint64_t>(value);
  for (int i = 0; i < 8; ++i) text_ += static_cast<char>(bits >> (8 * i) & 0xff);
}

std::string ProtoText::with_length() const {
  std::string all;
  append_varint(all, text_.size());
  return all + text_;
}

}  // namespace shardscope
