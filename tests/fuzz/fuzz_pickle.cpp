// A pickle of anybody: refused in one line, or nodes whose references lead to nodes. Looking at all of it ends.

#include "core/engine/checkpoint/deepspeed/pickle.h"
#include "tests/fuzz/fuzz.h"

namespace shardscope {
namespace {

void check_index(const Pickle& pickle, std::int32_t index) {
  if (index < -1 || index >= static_cast<std::int32_t>(pickle.nodes.size())) {
    fuzz_failed("a reference leads nowhere", std::to_string(index));
  }
}

void check(const Pickle& pickle) {
  check_index(pickle, pickle.top);
  for (const PickleNode& node : pickle.nodes) {
    for (const std::int32_t item : node.items) check_index(pickle, item);
    for (const std::int32_t part : {node.callee, node.arguments, node.state}) check_index(pickle, part);
  }
}

}  // namespace
}  // namespace shardscope

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  fuzz_reader(data, size, [](std::string_view text) {
    bool cut_short = false;
    check(parse_beginning(std::as_bytes(std::span(text.data(), text.size())), "file.pt", cut_short));
  });
  return fuzz_reader(data, size, [](std::string_view text) {
    const Pickle pickle = parse_pickle(std::as_bytes(std::span(text.data(), text.size())), "file.pt");
    check(pickle);
    const PickleValue root = pickle.root();
    root["optimizer_state_dict"]["state"].at(0)["step"].number();
    for (std::size_t i = 0; i < root.size(); ++i) root.key(i).text();
  });
}
