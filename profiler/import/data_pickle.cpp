#include "profiler/import/data_pickle.h"

#include <algorithm>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 29;
constexpr std::size_t kMostKeys = 64;
constexpr std::int64_t kLargestSize = std::int64_t{1} << 40;

std::string read_all(ImportSource& source) {
  std::string bytes;
  constexpr std::size_t kPart = 1 << 20;
  for (std::size_t n = 1; n > 0;) {
    const std::size_t at = bytes.size();
    if (at > kMostBytes) throw Error(ErrorKind::kParse, source.path() + ": a pickle of more than 512 MiB");
    bytes.resize(at + kPart);
    n = source.read(bytes.data() + at, kPart);
    bytes.resize(at + n);
  }
  return bytes;
}

bool is_data(const PickleNode& node) {
  using Kind = PickleNode::Kind;
  return node.kind != Kind::kGlobal && node.kind != Kind::kCall && node.kind != Kind::kPersistent;
}

}  // namespace

DataPickle::DataPickle(ImportSource& source) {
  const std::string bytes = read_all(source);
  if (source.cancelled()) return;
  pickle_ = parse_beginning(std::as_bytes(std::span(bytes.data(), bytes.size())), source.path(), cut_short_);
  if (!std::all_of(pickle_.nodes.begin(), pickle_.nodes.end(), is_data)) {
    throw Error(ErrorKind::kParse, source.path() +
                                       ": its pickle calls Python classes; a dump holds numbers, texts, "
                                       "lists and dicts only");
  }
  left_ = 4 * pickle_.nodes.size();
}

void DataPickle::spend() {
  if (left_ == 0) throw Error(ErrorKind::kParse, pickle_.file + ": its pickle refers to the same lists over and over");
  --left_;
}

bool is_record(const PickleValue& value) { return value.is(PickleNode::Kind::kDict) && value.size() <= kMostKeys; }

std::optional<std::int64_t> integer_in(const PickleValue& record, std::string_view key) {
  return record[key].integer();
}

std::string text_in(const PickleValue& record, std::string_view key) { return record[key].text().value_or(""); }

std::optional<std::int64_t> size_in(const PickleValue& record, std::string_view key) {
  const auto size = integer_in(record, key);
  return size && *size >= 0 && *size <= kLargestSize ? size : std::nullopt;
}

bool is_pickle_with(const ImportSource& source, std::string_view key) {
  const std::string_view head = source.head();
  return head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5 && head.find(key) != head.npos;
}

}  // namespace shardscope
