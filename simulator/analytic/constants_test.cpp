#include "simulator/analytic/constants.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "core/error.h"
#include "core/spec/hardware.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHead = "scope,owner,name,value,start,low,high,unit,source\n";

std::string complaint(const std::string& rows) {
  try {
    parse_constants(kHead + rows, "table.csv");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Constants, TheGpusOwnRowsStandAboveThoseOfItsArchitecture) {
  const Constants table = parse_constants(std::string(kHead) +
                                              "device,h100-sxm,kernel_us,2,5,1,9,us,guess\n"
                                              "device,hopper,kernel_us,3,5,1,9,us,guess\n"
                                              "device,hopper,link_hop_us,0.5,5,0,9,us,guess\n"
                                              "device,any,link_hop_us,4,5,0,9,us,guess\n",
                                          "table.csv");
  GpuSpec gpu{.name = "h100-sxm", .architecture = "hopper"};
  EXPECT_EQ(device_constants(table, gpu).kernel_us, 2);
  EXPECT_EQ(device_constants(table, gpu).link_hop_us, 0.5);
  gpu = {.name = "mi300x", .architecture = "cdna3"};
  EXPECT_EQ(device_constants(table, gpu).kernel_us, DeviceConstants().kernel_us);
  EXPECT_EQ(device_constants(table, gpu).link_hop_us, 4);
  gpu = {.name = "h900", .architecture = "hopper-ultra"};  // as its family
  EXPECT_EQ(device_constants(table, gpu).kernel_us, 3);
}

TEST(Constants, TheTableComesBackAsItWasWritten) {
  const Constants& table = default_constants();
  const Constants again = parse_constants(constants_csv(table), "again.csv");
  ASSERT_EQ(again.size(), table.size());
  for (std::size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(again[i].owner + again[i].name + again[i].source, table[i].owner + table[i].name + table[i].source);
    EXPECT_EQ(again[i].value, table[i].value);
    EXPECT_EQ(again[i].start, table[i].start);
  }
}

/// Every network of the catalog has its share of the line rate in the one table, and says what it rests on.
TEST(Constants, EveryFabricHasItsEfficiency) {
  for (const FabricSpec& fabric : default_catalog().fabrics) {
    const auto row = std::find_if(default_constants().begin(), default_constants().end(), [&](const Constant& c) {
      return c.scope == "fabric" && c.owner == fabric.name && c.name == "efficiency";
    });
    ASSERT_NE(row, default_constants().end()) << fabric.name;
    EXPECT_EQ(fabric.efficiency, 0) << fabric.name;  // a second table
    EXPECT_EQ(fabric_constants(default_constants(), fabric.name).efficiency, row->value);
  }
  EXPECT_EQ(fabric_constants(default_constants(), "ib-ndr").efficiency, 0.97);
  EXPECT_LT(fabric_constants(default_constants(), "efa-v2").efficiency,
            fabric_constants(default_constants(), "roce-400").efficiency);
}

TEST(Constants, BrokenRowsNameFileAndLine) {
  EXPECT_THAT(complaint("device,hopper,kernel_us,2,5,3,9,us,guess\n"),
              HasSubstr("table.csv:2: value 2 must lie within"));
  EXPECT_THAT(complaint("device,hopper,kernel_us,4,2,3,9,us,guess\n"), HasSubstr("start 2 must lie within"));
  EXPECT_THAT(complaint("device,hopper,kernl_us,2,5,1,9,us,guess\n"),
              HasSubstr("name is \"kernl_us\"; it must be one of"));
  EXPECT_THAT(complaint("gpu,hopper,kernel_us,2,5,1,9,us,guess\n"), HasSubstr("scope is \"gpu\""));
  EXPECT_THAT(complaint("device,hopper,kernel_us,fast,5,1,9,us,guess\n"), HasSubstr("must be a number"));
  EXPECT_THAT(complaint("device,hopper,kernel_us,2,5,1,9,us,\n"), HasSubstr("source is empty"));
  EXPECT_THAT(complaint("device,a,kernel_us,2,5,1,9,us,guess\ndevice,a,kernel_us,2,5,1,9,us,guess\n"),
              HasSubstr("table.csv:3: device a kernel_us is there twice"));
  EXPECT_THAT(complaint("device,a\n"), HasSubstr("has 2 cells; the head has 9"));
}

}  // namespace
}  // namespace shardscope
