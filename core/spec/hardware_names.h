#pragma once
// How entries of the catalog are recognised. Only core/spec/hardware*.cpp include this.
//
//   same_name("NVIDIA H100 80GB HBM3") == same_name("h100-80gb-hbm3")

#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

/// Letters and digits in lower case, without the maker's words.
std::string same_name(std::string_view name);

/// The entry that is called so, or null.
template <class Spec>
Spec* lookup(std::vector<Spec>& entries, std::string_view name) {
  const std::string wanted = same_name(name);
  if (wanted.empty()) return nullptr;
  for (Spec& entry : entries) {
    if (same_name(entry.name) == wanted || same_name(entry.title) == wanted) return &entry;
    for (const std::string& alias : entry.aliases) {
      if (same_name(alias) == wanted) return &entry;
    }
  }
  return nullptr;
}

template <class Spec>
const Spec* lookup(const std::vector<Spec>& entries, std::string_view name) {
  return lookup(const_cast<std::vector<Spec>&>(entries), name);
}

}  // namespace shardscope
