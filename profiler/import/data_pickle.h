#pragma once
// Python pickles that hold nothing but data (numbers, texts, lists, dicts), as PyTorch dumps them. A pickle that names
// a class or calls anything is refused. Unlike other formats it is read whole: some 100 bytes of memory for each value.
//
//   DataPickle pickle(source);
//   pickle.each(pickle.root()["segments"], [&](const PickleValue& segment) { bytes += size_in(segment, "total_size");
//   });

#include "core/engine/checkpoint/deepspeed/pickle.h"
#include "profiler/import/import_source.h"

namespace shardscope {

class DataPickle {
 public:
  /// Of a file that ends too early what came before. Throws Error{kParse} for what is too large, or more than data.
  /// When cancelled it is empty.
  explicit DataPickle(ImportSource& source);
  bool cut_short() const { return cut_short_; }
  PickleValue root() const { return pickle_.nodes.empty() ? PickleValue() : pickle_.root(); }

  /// Calls use(item) for each item of a list. Lists may be shared in a pickle, so that a small one could keep us busy
  /// for years: Error{kParse} when more was looked at than a file of its size can mean.
  template <class Use>
  void each(const PickleValue& list, Use&& use) {
    if (!list.is(PickleNode::Kind::kList)) return;
    for (std::size_t i = 0; i < list.size(); ++i) spend(), use(list[i]);
  }
  /// Calls use(key, value) for each pair of a dict.
  template <class Use>
  void each_pair(const PickleValue& dict, Use&& use) {
    if (!dict.is(PickleNode::Kind::kDict)) return;
    for (std::size_t i = 0; i < dict.size(); ++i) spend(), use(dict.key(i), dict.value(i));
  }

 private:
  void spend();
  Pickle pickle_;
  bool cut_short_ = false;
  std::size_t left_ = 0;
};

/// A dict of few keys, such as an entry is: looking into it is cheap.
bool is_record(const PickleValue& value);

/// Of a record: an integer, a text; nothing if it is missing or of another type.
std::optional<std::int64_t> integer_in(const PickleValue& record, std::string_view key);
std::string text_in(const PickleValue& record, std::string_view key);
/// Bytes, from 0 to a TiB, so that sums of them do not overflow.
std::optional<std::int64_t> size_in(const PickleValue& record, std::string_view key);

/// By its first bytes: protocol 2 or later, and it names this key.
bool is_pickle_with(const ImportSource& source, std::string_view key);

}  // namespace shardscope
