#include "core/xml_text.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

TEST(XmlText, IsEscapedForElementsAndAttributes) {
  EXPECT_EQ(escape_xml("a < \"b\" & c > d"), "a &lt; &quot;b&quot; &amp; c &gt; d");
  EXPECT_EQ(escape_xml("one\x01\ttwo\nthree"), "one  two\nthree");
  EXPECT_EQ(escape_xml("µs"), "µs");
}

}  // namespace
}  // namespace shardscope
