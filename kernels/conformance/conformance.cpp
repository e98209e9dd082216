#include "kernels/conformance/conformance.h"

#include <cmath>
#include <cstring>

namespace shardscope {
namespace {

/// A space of the backend, given back at the end.
class Arena {
 public:
  Arena(Backend& backend, Space space, std::int64_t bytes)
      : backend_(backend), space_(space), bytes_(bytes), data_(backend.allocate(space, bytes)) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { backend_.release(space_, data_, bytes_); }
  std::byte* data() const { return data_; }

 private:
  Backend& backend_;
  Space space_;
  std::int64_t bytes_;
  std::byte* data_;
};

/// The case's program with, for each device buffer, one of host memory that is copied to it before the op and from it
/// after. Buffer i of the case has its twin at i + n.
Program with_host_copies(const ConformanceCase& test) {
  Program program = test.program;
  const std::size_t n = program.buffers.size();
  std::vector<Instruction> before, after;
  for (std::size_t i = 0; i < n; ++i) {
    Buffer twin = program.buffers[i];
    twin.name += ".host";
    twin.space = Space::kHost;
    program.buffers.push_back(twin);
    const Region device = program.whole(BufferId{static_cast<std::int32_t>(i)});
    const Region host = program.whole(BufferId{static_cast<std::int32_t>(i + n)});
    before.push_back({Copy{host, device}});
    after.push_back({Copy{device, host}});
  }
  before.push_back(program.instructions.front());
  before.insert(before.end(), after.begin(), after.end());
  program.instructions = std::move(before);
  return program;
}

bool close(double got, double want, const Tolerance& tolerance) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got);
  if (std::isinf(want) || std::isinf(got)) return want == got;
  return std::abs(got - want) <= tolerance.absolute + tolerance.relative * std::abs(want);
}

std::string operand_name(const ConformanceCase& test, BufferId buffer) {
  std::string found = "buffer " + std::to_string(buffer.index);
  for_each_access(test.program.instructions.front().op, [&](const char* field, const Region& region, Access) {
    if (region.buffer == buffer) found = field;
  });
  return found;
}

/// Compares one buffer with what is expected in it, and with what it held before everywhere else.
void check_buffer(const ConformanceCase& test, BufferId id, const std::byte* got, std::vector<std::string>& faults) {
  const Buffer& buffer = test.program.buffer(id);
  const std::vector<std::byte>& before = test.contents[static_cast<std::size_t>(id.index)];
  const std::int64_t size = size_of(buffer.dtype);
  const Expectation* expected = nullptr;
  for (const Expectation& e : test.expectations) {
    if (e.region.buffer == id) expected = &e;
  }
  const std::string where = test.name + ": " + operand_name(test, id);
  for (std::int64_t i = 0; i < buffer.elements; ++i) {
    const bool inside = expected != nullptr && i >= expected->region.offset && i < expected->region.end();
    if (inside) {
      const std::int64_t element = i - expected->region.offset;
      const double value = decode(buffer.dtype, got + i * size);
      const double want = expected->want[static_cast<std::size_t>(element)];
      if (close(value, want, expected->tolerance)) continue;
      faults.push_back(where + "[" + std::to_string(element) + "] is " + std::to_string(value) + ", should be " +
                       std::to_string(want) + " (off by " + std::to_string(value - want) + ")");
      return;
    }
    if (std::memcmp(got + i * size, before.data() + i * size, static_cast<std::size_t>(size)) == 0) continue;
    faults.push_back(where + ": element " + std::to_string(i) + " of its buffer changed, and should not");
    return;
  }
}

}  // namespace

std::vector<std::string> run_case(Backend& backend, const ConformanceCase& test) {
  const std::int64_t bytes = test.program.arena_bytes[static_cast<int>(Space::kDevice)];
  const Program program = with_host_copies(test);
  const Arena device(backend, Space::kDevice, bytes), host(backend, Space::kHost, bytes);
  Memory memory{&program, {}};
  memory.bases[static_cast<int>(Space::kDevice)] = device.data();
  memory.bases[static_cast<int>(Space::kHost)] = host.data();
  for (std::size_t i = 0; i < test.contents.size(); ++i) {
    std::memcpy(host.data() + test.program.buffers[i].address, test.contents[i].data(), test.contents[i].size());
  }
  for (const Instruction& instruction : program.instructions) {
    backend.run(instruction.op, memory, test.scalars, Lane::kCompute);
  }
  backend.synchronize();
  std::vector<std::string> faults;
  for (std::size_t i = 0; i < test.contents.size(); ++i) {
    check_buffer(test, BufferId{static_cast<std::int32_t>(i)}, host.data() + test.program.buffers[i].address, faults);
  }
  return faults;
}

ConformanceResult run_conformance(Backend& backend, const std::string& prefix) {
  ConformanceResult result;
  for (const ConformanceCase& test : conformance_cases()) {
    if (test.name.compare(0, prefix.size(), prefix) != 0) continue;
    if (!backend.supports(test.program, test.program.instructions.front().op)) {
      result.skipped.push_back(test.name);
      continue;
    }
    ++result.ran;
    for (std::string& fault : run_case(backend, test)) result.faults.push_back(std::move(fault));
  }
  return result;
}

namespace {

/// Each case again as most operands of a program lie: there a backend may move several elements at once.
void add_aligned(std::vector<ConformanceCase>& cases) {
  const std::size_t count = cases.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (!cases[i].name.ends_with(", aligned")) cases.push_back(aligned(cases[i]));
  }
}

}  // namespace

std::vector<ConformanceCase> conformance_cases() {
  std::vector<ConformanceCase> cases;
  add_elementwise_cases(cases);
  add_copy_cases(cases);
  add_matmul_cases(cases);
  add_embedding_cases(cases);
  add_norm_cases(cases);
  add_activation_cases(cases);
  add_quantize_cases(cases);
  add_optimizer_cases(cases);
  add_aligned(cases);
  add_attention_cases(cases);  // these and some of the others have aligned ones of their own
  add_loss_cases(cases);
  add_inference_cases(cases);
  add_sharded_cases(cases);
  add_expert_cases(cases);
  return cases;
}

}  // namespace shardscope
