#pragma once
// A node of a Chakra execution trace, as the importer reads it and the exporter writes it.
//
//   out.text(encode(node));                                   // a file: metadata, then nodes, each after its length
//   std::optional<ChakraNode> node = decode(bytes);
//
// Source: mlcommons/chakra, schema/protobuf/et_def.proto, version 0.0.4; names of attributes as its converters and
// ASTRA-sim have them (comm_type, comm_size, pg_name, is_cpu_op, ...). What only we write begins with "shardscope_".

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace shardscope {

enum class ChakraType : std::uint8_t {
  kInvalid,
  kMetadata,
  kMemoryLoad,
  kMemoryStore,
  kCompute,
  kSend,
  kReceive,
  kCollective
};

struct ChakraNode {
  using Value = std::variant<std::int64_t, double, std::string, bool>;
  std::uint64_t id = 0;
  std::string name;
  ChakraType type = ChakraType::kInvalid;
  std::vector<std::uint64_t> data_after, control_after;  ///< ids of nodes that must be done before
  std::uint64_t start_us = 0, duration_us = 0;
  std::map<std::string, Value, std::less<>> attributes;  ///< lists are left out

  std::optional<std::int64_t> integer(std::string_view name) const;
  std::optional<std::string_view> text(std::string_view name) const;
  std::optional<bool> flag(std::string_view name) const;
};

std::string encode(const ChakraNode& node);
/// Nothing if the bytes are no node.
std::optional<ChakraNode> decode(std::string_view bytes);

/// The message before the nodes: the version, or facts as PyTorch's converter has them ("schema", "pid").
std::string encode_metadata();
std::optional<std::string> decode_metadata(std::string_view bytes);  ///< the version, "" if it says none

/// Chakra's number of one of our kinds of collectives, and back; nothing if there is none.
std::optional<std::int64_t> chakra_collective(std::string_view kind);
std::string_view kind_of_chakra(std::int64_t number);

}  // namespace shardscope
