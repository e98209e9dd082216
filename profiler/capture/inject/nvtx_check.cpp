// A program that knows nothing of us and says what it does through NVTX: handlers_test runs it under the library.
#include <fcntl.h>
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtPayload.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace {

/// As NCCL says what it sends: a registered name, and a payload with a layout of its own.
void all_reduce(nvtxDomainHandle_t domain, std::uint64_t communicator, std::size_t bytes) {
  struct Payload {
    std::uint64_t communicator;
    std::size_t bytes;
  };
  static const nvtxPayloadSchemaEntry_t fields[] = {{0, NVTX_PAYLOAD_ENTRY_TYPE_UINT64, "NCCL communicator ID", nullptr,
                                                     0, offsetof(Payload, communicator), nullptr, nullptr},
                                                    {0, NVTX_PAYLOAD_ENTRY_TYPE_SIZE, "Message size [bytes]", nullptr,
                                                     0, offsetof(Payload, bytes), nullptr, nullptr}};
  static constexpr std::uint64_t kSchema = NVTX_PAYLOAD_SCHEMA_ID_STATIC_START + 5;
  static const std::uint64_t schema = [domain] {
    nvtxPayloadSchemaAttr_t attributes{};
    attributes.fieldMask = NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_TYPE | NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_ENTRIES |
                           NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_NUM_ENTRIES | NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_STATIC_SIZE |
                           NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_SCHEMA_ID;
    attributes.type = NVTX_PAYLOAD_SCHEMA_TYPE_STATIC;
    attributes.entries = fields;
    attributes.numEntries = 2;
    attributes.payloadStaticSize = sizeof(Payload);
    attributes.schemaId = kSchema;
    return nvtxPayloadSchemaRegister(domain, &attributes);
  }();
  static nvtxStringHandle_t name = nvtxDomainRegisterStringA(domain, "ncclAllReduce");
  const Payload payload{communicator, bytes};
  nvtxPayloadData_t data[] = {{schema, sizeof payload, &payload}};
  nvtxEventAttributes_t event{};
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
  event.message.registered = name;
  event.payloadType = NVTX_PAYLOAD_TYPE_EXT;
  event.reserved0 = 1;
  event.payload.ullValue = NVTX_POINTER_AS_PAYLOAD_ULLVALUE(data);
  nvtxDomainRangePushEx(domain, &event);
  nvtxDomainRangePop(domain);
}

/// N steps of some ms, of which the 15th is slow.
void steps(int count) {
  for (int step = 0; step < count; ++step) {
    nvtxRangePushA(("step " + std::to_string(step)).c_str());
    nvtxRangePushA("forward");
    usleep(step == 15 ? 100'000 : 5'000);
    nvtxRangePop();
    nvtxRangePop();
  }
}

/// As PyTorch and DeepSpeed mark steps.
void optimizers() {
  for (int step = 0; step < 6; ++step) {
    nvtxRangePushA("forward");
    nvtxRangePop();
    nvtxRangePushA("DeepSpeedZeroOptimizer_Stage3.step");
    for (int part = 0; part < 2; ++part) {
      nvtxRangePushA("Optimizer.step#AdamW.step");
      nvtxRangePop();
    }
    nvtxRangePop();
  }
}

/// Many ranges, the first ones in steps that are alike and short.
void flood(int ranges, bool slowly) {
  for (int i = 0; i < ranges; ++i) {
    const bool stepping = i % 1000 == 0;
    if (stepping) nvtxRangePushA(("step " + std::to_string(i / 1000)).c_str());
    nvtxRangePushA("flood");
    nvtxRangePop();
    if (stepping && i > 10'000) usleep(2'000);
    if (stepping) nvtxRangePop();
    if (slowly && i % 4'000 == 0) usleep(20'000);  // the reader keeps up with it
  }
}

void wait_for(const std::string& file) {
  while (access(file.c_str(), F_OK) != 0) usleep(5'000);
}

void touch(const std::string& file) { close(open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); }

/// Goes on as somebody makes files in a folder.
void follow(const std::string& folder) {
  nvtxRangePushA("before");
  nvtxRangePop();
  touch(folder + "/waiting");
  wait_for(folder + "/first");
  nvtxRangePushA("started");
  nvtxRangePop();
  touch(folder + "/waiting2");
  wait_for(folder + "/second");
  nvtxRangePushA("stopped");
  nvtxRangePop();
  touch(folder + "/waiting3");
  wait_for(folder + "/third");
  steps(4);
}

bool with_steps(int argc, char** argv) {
  const std::string mode = argv[1];
  const int count = argc > 2 ? std::atoi(argv[2]) : 20;
  if (mode == "steps") steps(count);
  if (mode == "optimizer") optimizers();
  if (mode == "flood") flood(count, argc > 3);
  if (mode == "follow") follow(argv[2]);
  return mode == "steps" || mode == "optimizer" || mode == "flood" || mode == "follow";
}

}  // namespace

int main(int argc, char** argv) {
  const bool crash = argc > 1 && std::strcmp(argv[1], "crash") == 0;
  const bool killed = argc > 1 && std::strcmp(argv[1], "killed") == 0;
  if (argc > 1 && with_steps(argc, argv)) return 0;
  const bool workers = argc > 1 && std::strcmp(argv[1], "workers") == 0;
  nvtxNameOsThreadA(static_cast<std::uint32_t>(gettid()), "main loop");
  nvtxDomainHandle_t nccl = nvtxDomainCreateA("NCCL");
  for (int step = 0; step < 3; ++step) {
    nvtxRangePushA("step");
    nvtxRangePushW(L"forward");
    nvtxRangePop();
    all_reduce(nccl, 0xabcdef, 4096u << step);
    const nvtxRangeId_t range = nvtxRangeStartA("overlapped");
    nvtxMarkA("half way");
    if (crash && step == 2) std::abort();
    if (killed && step == 2) raise(SIGKILL);
    nvtxRangePop();
    nvtxRangeEnd(range);
  }
  std::thread([] {
    nvtxRangePushA("in a thread");
    nvtxRangePop();
  }).join();
  if (workers) {  // as a data loader has them
    for (int worker = 0; worker < 3; ++worker) {
      if (fork() != 0) continue;
      nvtxRangePushA("load");
      nvtxRangePop();
      if (worker == 2) execl("/bin/true", "true", nullptr);
      _exit(0);
    }
    while (wait(nullptr) > 0) {
    }
  }
  return 0;
}
