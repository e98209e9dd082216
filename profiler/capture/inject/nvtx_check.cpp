// A program that knows nothing of us and says what it does through NVTX: handlers_test runs it under the library.
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtPayload.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
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

}  // namespace

int main(int argc, char** argv) {
  const bool crash = argc > 1 && std::strcmp(argv[1], "crash") == 0;
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
