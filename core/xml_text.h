#pragma once
// A text as it may stand inside XML and HTML, in elements and in attributes.
//
//   out += "<text>" + escape_xml(name) + "</text>";

#include <string>
#include <string_view>

namespace shardscope {

/// Control characters have no place in XML 1.0, whatever a file's names hold: they become spaces, but for line ends.
std::string escape_xml(std::string_view text);

}  // namespace shardscope
