#pragma once
// The few pieces of Protocol Buffers' wire format that Chakra's files need. Nothing in the bytes is trusted.
//
//   ProtoReader reader(bytes);
//   while (reader.next()) if (reader.field() == 2) name = reader.bytes();
//   if (!reader.sound()) ...                                              // the bytes ended in a field, or are none
//
//   ProtoText node;  node.varint(1, id);  node.bytes(2, name);            // and back
//
// Source: protobuf.dev/programming-guides/encoding.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shardscope {

/// A varint at the start of `bytes`, which then begin behind it; nothing if there is none.
std::optional<std::uint64_t> take_varint(std::string_view& bytes);

class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : rest_(bytes) {}
  bool next();  ///< to the next field; false at the end
  bool sound() const { return sound_; }
  std::uint32_t field() const { return field_; }
  bool is_varint() const { return wire_ == 0; }
  bool is_bytes() const { return wire_ == 2; }
  std::uint64_t varint() const { return value_; }    ///< also the bits of a fixed-size number
  std::string_view bytes() const { return bytes_; }  ///< of a text, a message, a packed list
  double real() const;                               ///< of a double or float
  /// Calls use(number) for each of a repeated varint field, packed or not.
  template <class Use>
  void each_varint(Use&& use) {
    if (is_varint()) use(value_);
    for (std::string_view list = is_bytes() ? bytes_ : std::string_view(); !list.empty();) {
      const auto number = take_varint(list);
      if (!number) {
        sound_ = false;
        return;
      }
      use(*number);
    }
  }

 private:
  std::string_view rest_, bytes_;
  std::uint64_t value_ = 0;
  std::uint32_t field_ = 0, wire_ = 0;
  bool sound_ = true;
};

class ProtoText {
 public:
  void varint(std::uint32_t field, std::uint64_t value);
  void bytes(std::uint32_t field, std::string_view value);
  void real(std::uint32_t field, double value);
  const std::string& text() const { return text_; }
  /// With its length before it, as messages follow each other in a file.
  std::string with_length() const;

 private:
  std::string text_;
};

}  // namespace shardscope
