#include "profiler/import/chakra/chakra_node.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "profiler/import/chakra/proto_wire.h"

namespace shardscope {
namespace {

constexpr std::string_view kVersion = "0.0.4";

// Fields of the messages.
enum NodeField : std::uint32_t {
  kId = 1,
  kName = 2,
  kType = 3,
  kControl = 4,
  kData = 5,
  kStart = 6,
  kDuration = 7,
  kAttribute = 10,
  kLastField = 11
};
enum ValueField : std::uint32_t {
  kDouble = 3,
  kFloat = 5,
  kInt32 = 7,
  kInt64 = 9,
  kUint32 = 11,
  kUint64 = 13,
  kSint32 = 15,
  kSint64 = 17,
  kFixed32 = 19,
  kFixed64 = 21,
  kSfixed32 = 23,
  kSfixed64 = 25,
  kBool = 27,
  kString = 29
};

// CollectiveCommType, by number.
constexpr std::string_view kCollectives[] = {"all_reduce", "reduce",     "all_gather",     "gather",         "scatter",
                                             "broadcast",  "all_to_all", "reduce_scatter", "reduce_scatter", "barrier"};

std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

void decode_attribute(std::string_view bytes, ChakraNode& node) {
  ProtoReader reader(bytes);
  std::string_view name;
  std::optional<ChakraNode::Value> value;
  while (reader.next()) {
    switch (reader.field()) {
      case 1:
        name = reader.bytes();
        break;
      case kDouble:
      case kFloat:
        value = reader.real();
        break;
      case kInt32:
      case kInt64:
      case kUint32:
      case kUint64:
      case kFixed32:
      case kFixed64:
      case kSfixed64:
        value = static_cast<std::int64_t>(reader.varint());
        break;
      case kSfixed32:
        value = std::int64_t{static_cast<std::int32_t>(reader.varint())};
        break;
      case kSint32:
      case kSint64:
        value = unzigzag(reader.varint());
        break;
      case kBool:
        value = reader.varint() != 0;
        break;
      case kString:
        value = std::string(reader.bytes());
        break;
      default:
        break;  // a list, or its description
    }
  }
  if (reader.sound() && value && !name.empty()) node.attributes.insert_or_assign(std::string(name), *value);
}

struct EncodeValue {
  ProtoText& to;
  void operator()(std::int64_t value) const { to.varint(kInt64, static_cast<std::uint64_t>(value)); }
  void operator()(double value) const { to.real(kDouble, value); }
  void operator()(const std::string& value) const { to.bytes(kString, value); }
  void operator()(bool value) const { to.varint(kBool, value ? 1 : 0); }
};

/// Types that ASTRA-sim's older feeder insists on; a number is int64 otherwise.
bool is_unsigned(std::string_view name) { return name == "tensor_size"; }
bool is_small(std::string_view name) {
  return name == "comm_src" || name == "comm_dst" || name == "comm_tag" || name == "comm_priority";
}

std::string encode_attribute(const std::string& name, const ChakraNode::Value& value) {
  ProtoText text;
  text.bytes(1, name);
  const auto* number = std::get_if<std::int64_t>(&value);
  if (number != nullptr && (is_unsigned(name) || is_small(name))) {
    text.varint(is_small(name) ? kInt32 : kUint64, static_cast<std::uint64_t>(*number));
  } else {
    std::visit(EncodeValue{text}, value);
  }
  return text.text();
}

template <class Type>
const Type* find(const ChakraNode& node, std::string_view name) {
  const auto found = node.attributes.find(name);
  return found == node.attributes.end() ? nullptr : std::get_if<Type>(&found->second);
}

}  // namespace

std::optional<std::int64_t> ChakraNode::integer(std::string_view wanted) const {
  if (const auto* value = find<std::int64_t>(*this, wanted)) return *value;
  const auto* real = find<double>(*this, wanted);
  const bool whole = real != nullptr && std::abs(*real) < 9e15 && *real == std::trunc(*real);
  return whole ? std::optional(static_cast<std::int64_t>(*real)) : std::nullopt;
}

std::optional<std::string_view> ChakraNode::text(std::string_view wanted) const {
  const auto* value = find<std::string>(*this, wanted);
  return value != nullptr ? std::optional<std::string_view>(*value) : std::nullopt;
}

std::optional<bool> ChakraNode::flag(std::string_view wanted) const {
  const auto* value = find<bool>(*this, wanted);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::string encode(const ChakraNode& node) {
  ProtoText text;
  text.varint(kId, node.id);
  text.bytes(kName, node.name);
  text.varint(kType, static_cast<std::uint64_t>(node.type));
  for (const std::uint64_t id : node.control_after) text.varint(kControl, id);
  for (const std::uint64_t id : node.data_after) text.varint(kData, id);
  if (node.start_us != 0) text.varint(kStart, node.start_us);
  if (node.duration_us != 0) text.varint(kDuration, node.duration_us);
  for (const auto& [name, value] : node.attributes) text.bytes(kAttribute, encode_attribute(name, value));
  return text.with_length();
}

std::optional<ChakraNode> decode(std::string_view bytes) {
  ChakraNode node;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case kId:
        node.id = reader.varint();
        break;
      case kName:
        node.name = std::string(reader.bytes());
        break;
      case kType:
        node.type = reader.varint() <= 7 ? static_cast<ChakraType>(reader.varint()) : ChakraType::kInvalid;
        break;
      case kControl:
        reader.each_varint([&](std::uint64_t id) { node.control_after.push_back(id); });
        break;
      case kData:
        reader.each_varint([&](std::uint64_t id) { node.data_after.push_back(id); });
        break;
      case kStart:
        node.start_us = reader.varint();
        break;
      case kDuration:
        node.duration_us = reader.varint();
        break;
      case kAttribute:
        decode_attribute(reader.bytes(), node);
        break;
      default:
        if (reader.field() > kLastField) return std::nullopt;
        break;
    }
  }
  if (!reader.sound()) return std::nullopt;
  return node;
}

std::string encode_metadata() {
  ProtoText text;
  text.bytes(1, kVersion);
  return text.with_length();
}

std::optional<std::string> decode_metadata(std::string_view bytes) {
  ProtoReader reader(bytes);
  std::string version;
  while (reader.next()) {
    if (reader.field() > 2 || !reader.is_bytes()) return std::nullopt;
    if (reader.field() == 1) version = std::string(reader.bytes());
    ChakraNode facts;
    if (reader.field() == 2) decode_attribute(reader.bytes(), facts);
    if (version.empty() && facts.text("schema")) version = std::string(*facts.text("schema"));
  }
  return reader.sound() ? std::optional(version) : std::nullopt;
}

std::optional<std::int64_t> chakra_collective(std::string_view kind) {
  const auto* found = std::find(std::begin(kCollectives), std::end(kCollectives), kind);
  return found == std::end(kCollectives) ? std::nullopt : std::optional<std::int64_t>(found - std::begin(kCollectives));
}

std::string_view kind_of_chakra(std::int64_t number) {
  const bool known = number >= 0 && number < static_cast<std::int64_t>(std::size(kCollectives));
  return known ? kCollectives[number] : std::string_view("collective");
}

}  // namespace shardscope
