// NVTX without CUPTI: ranges and marks of every domain, with the payloads that carry NCCL's sizes. NVTX finds us
// through NVTX_INJECTION64_PATH, and fills its function tables with ours.

#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtPayload.h>

#include <algorithm>
#include <cwchar>
#include <string_view>

#include "profiler/capture/inject/spool_writer.h"
#include "profiler/capture/inject/step_tracker.h"

namespace shardscope::capture {

namespace {

/// Behind every handle that we give out: a string. Handles live as long as the process, as NVTX demands of domains;
/// that programs register strings without end is a leak of theirs.
struct Named {
  std::uint64_t id;
  char text[48];  ///< its begin
};

std::atomic<std::uint64_t> next_range{1}, next_schema{1ULL << 32};

constexpr std::size_t kMostPayload = 256;

/// As ASCII, ended by a 0; what is not ASCII becomes '?'.
std::string_view narrow(const wchar_t* text, char (&buffer)[512]) {
  std::size_t n = 0;
  for (; text != nullptr && *text != 0 && n < sizeof buffer - 1; ++text)
    buffer[n++] = *text < 128 ? static_cast<char>(*text) : '?';
  buffer[n] = '\0';
  return {buffer, n};
}

std::uint64_t id_of(nvtxDomainHandle_t domain) {
  return domain != nullptr ? reinterpret_cast<const Named*>(domain)->id : 0;
}

std::uint64_t message_id(Spool& spool, const nvtxEventAttributes_t& event) {
  char buffer[512];
  switch (event.messageType) {
    case NVTX_MESSAGE_TYPE_ASCII:
      return event.message.ascii != nullptr ? spool.intern(event.message.ascii) : 0;
    case NVTX_MESSAGE_TYPE_UNICODE:
      return spool.intern(narrow(event.message.unicode, buffer));
    case NVTX_MESSAGE_TYPE_REGISTERED:
      return event.message.registered != nullptr ? reinterpret_cast<const Named*>(event.message.registered)->id : 0;
    default:
      return 0;
  }
}

/// The name of an event, for whoever looks for steps; null if it has none of a kind that steps have.
const char* text_of(const nvtxEventAttributes_t& event) {
  if (event.messageType == NVTX_MESSAGE_TYPE_ASCII) return event.message.ascii;
  if (event.messageType == NVTX_MESSAGE_TYPE_REGISTERED && event.message.registered != nullptr)
    return reinterpret_cast<const Named*>(event.message.registered)->text;
  return nullptr;
}

/// The first binary payload of an event, null if it has none.
const nvtxPayloadData_t* extended_payload(const nvtxEventAttributes_t& event) {
  if (event.payloadType != NVTX_PAYLOAD_TYPE_EXT || event.reserved0 < 1) return nullptr;
  // NVTX carries the pointer as a number.
  const auto* data =
      reinterpret_cast<const nvtxPayloadData_t*>(event.payload.ullValue);  // NOLINT(performance-no-int-to-ptr)
  const bool sized = data != nullptr && data->payload != nullptr && data->size <= kMostPayload;
  return sized ? data : nullptr;
}

/// Writes one record of an event; `range` where the kind has one.
void write(RecordKind kind, std::uint64_t domain, std::uint64_t range, const nvtxEventAttributes_t& event) {
  Spool* spool = Spool::get();
  if (spool == nullptr || !spool->enabled(kSourceNvtx)) return;
  const std::int64_t now = now_ns();
  const std::uint64_t name = message_id(*spool, event);
  const nvtxPayloadData_t* data = extended_payload(event);
  const bool number = data == nullptr && event.payloadType > NVTX_PAYLOAD_UNKNOWN && event.payloadType < 0x100;
  const std::size_t extra = data != nullptr ? data->size : number ? sizeof event.payload : 0;
  auto* record = spool->begin<RangeRecord>(kind, extra);
  if (record == nullptr) return;
  record->head.time_ns = now;
  record->head.small = event.category;
  record->name = name;
  record->domain = domain;
  record->range = range;
  record->schema = data != nullptr ? data->schemaId : number ? 1 : 0;
  record->payload_bytes = static_cast<std::uint32_t>(extra);
  record->colour = event.colorType == NVTX_COLOR_ARGB ? event.color : 0;
  if (data != nullptr) std::memcpy(record + 1, data->payload, extra);
  if (number) std::memcpy(record + 1, &event.payload, extra);
  spool->commit(record);
}

void write_text(RecordKind kind, std::uint64_t range, std::string_view text) {
  Spool* spool = Spool::get();
  if (spool == nullptr || !spool->enabled(kSourceNvtx)) return;
  const std::int64_t now = now_ns();
  const std::uint64_t name = spool->intern(text);
  auto* record = spool->begin<RangeRecord>(kind);
  if (record == nullptr) return;
  record->head.time_ns = now;
  record->name = name;
  record->range = range;
  spool->commit(record);
}

void write_end(RecordKind kind, std::uint64_t domain, std::uint64_t range) {
  Spool* spool = Spool::get();
  if (spool == nullptr || !spool->enabled(kSourceNvtx)) return;
  auto* record = spool->begin<RangeRecord>(kind);
  if (record == nullptr) return;
  record->head.time_ns = now_ns();
  record->domain = domain;
  record->range = range;
  spool->commit(record);
}

// Nesting per thread, which push and pop return; the reader counts for itself.
thread_local int depth = 0;

void NVTX_API mark_ex(const nvtxEventAttributes_t* event) {
  if (event != nullptr) write(RecordKind::kMark, 0, 0, *event);
}
void NVTX_API mark_a(const char* text) {
  if (text != nullptr) write_text(RecordKind::kMark, 0, text);
}
void NVTX_API mark_w(const wchar_t* text) {
  char buffer[512];
  write_text(RecordKind::kMark, 0, narrow(text, buffer));
}
nvtxRangeId_t NVTX_API start_ex(const nvtxEventAttributes_t* event) {
  const std::uint64_t range = next_range.fetch_add(1, std::memory_order_relaxed);
  if (event == nullptr) return range;
  step_range_started(text_of(*event), range);
  write(RecordKind::kRangeStart, 0, range, *event);
  return range;
}
nvtxRangeId_t NVTX_API start_a(const char* text) {
  const std::uint64_t range = next_range.fetch_add(1, std::memory_order_relaxed);
  step_range_started(text, range);
  write_text(RecordKind::kRangeStart, range, text != nullptr ? text : "");
  return range;
}
nvtxRangeId_t NVTX_API start_w(const wchar_t* text) {
  char buffer[512];
  const std::uint64_t range = next_range.fetch_add(1, std::memory_order_relaxed);
  const std::string_view name = narrow(text, buffer);
  step_range_started(buffer, range);
  write_text(RecordKind::kRangeStart, range, name);
  return range;
}
void NVTX_API range_end(nvtxRangeId_t range) {
  write_end(RecordKind::kRangeEnd, 0, range);
  step_range_ended(range);
}
int NVTX_API push_ex(const nvtxEventAttributes_t* event) {
  step_range_pushed(event != nullptr ? text_of(*event) : nullptr);
  if (event != nullptr) write(RecordKind::kRangePush, 0, 0, *event);
  return depth++;
}
int NVTX_API push_a(const char* text) {
  step_range_pushed(text);
  write_text(RecordKind::kRangePush, 0, text != nullptr ? text : "");
  return depth++;
}
int NVTX_API push_w(const wchar_t* text) {
  char buffer[512];
  const std::string_view name = narrow(text, buffer);
  step_range_pushed(buffer);
  write_text(RecordKind::kRangePush, 0, name);
  return depth++;
}
int NVTX_API pop() {
  write_end(RecordKind::kRangePop, 0, 0);
  step_range_popped();
  return depth > 0 ? --depth : -1;
}
void NVTX_API name_thread_a(std::uint32_t thread, const char* text) {
  Spool* spool = Spool::get();
  if (spool == nullptr || text == nullptr) return;
  const std::uint64_t name = spool->intern(text);
  auto* record = spool->begin<NameRecord>(RecordKind::kThreadName);
  if (record == nullptr) return;
  record->head.time_ns = now_ns();
  record->head.small = thread;
  record->name = name;
  spool->commit(record);
}
void NVTX_API name_thread_w(std::uint32_t thread, const wchar_t* text) {
  char buffer[512];
  name_thread_a(thread, narrow(text, buffer).data());
}

void NVTX_API domain_mark(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  if (event != nullptr) write(RecordKind::kMark, id_of(domain), 0, *event);
}
nvtxRangeId_t NVTX_API domain_start(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  const std::uint64_t range = next_range.fetch_add(1, std::memory_order_relaxed);
  if (event != nullptr) write(RecordKind::kRangeStart, id_of(domain), range, *event);
  return range;
}
void NVTX_API domain_end(nvtxDomainHandle_t domain, nvtxRangeId_t range) {
  write_end(RecordKind::kRangeEnd, id_of(domain), range);
}
int NVTX_API domain_push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  if (domain == nullptr) step_range_pushed(event != nullptr ? text_of(*event) : nullptr);
  if (event != nullptr) write(RecordKind::kRangePush, id_of(domain), 0, *event);
  return depth++;
}
int NVTX_API domain_pop(nvtxDomainHandle_t domain) {
  write_end(RecordKind::kRangePop, id_of(domain), 0);
  if (domain == nullptr) step_range_popped();
  return depth > 0 ? --depth : -1;
}
void* make_name(const char* text) {
  Spool* spool = Spool::get();
  const std::string_view view = text != nullptr ? text : "";
  auto* named =
      new (std::nothrow) Named{spool != nullptr ? spool->intern(view) : string_id(view.data(), view.size()), {}};
  if (named != nullptr) std::memcpy(named->text, view.data(), std::min(view.size(), sizeof named->text - 1));
  return named;
}
nvtxStringHandle_t NVTX_API register_a(nvtxDomainHandle_t, const char* text) {
  return static_cast<nvtxStringHandle_t>(make_name(text));
}
nvtxStringHandle_t NVTX_API register_w(nvtxDomainHandle_t, const wchar_t* text) {
  char buffer[512];
  return static_cast<nvtxStringHandle_t>(make_name(narrow(text, buffer).data()));
}
nvtxDomainHandle_t NVTX_API create_a(const char* text) { return static_cast<nvtxDomainHandle_t>(make_name(text)); }
nvtxDomainHandle_t NVTX_API create_w(const wchar_t* text) {
  char buffer[512];
  return static_cast<nvtxDomainHandle_t>(make_name(narrow(text, buffer).data()));
}
void NVTX_API destroy(nvtxDomainHandle_t) {}  // handles may still be in the records of other threads

std::uint64_t NVTX_API register_schema(nvtxDomainHandle_t domain, const nvtxPayloadSchemaAttr_t* schema) {
  if (schema == nullptr) return 0;
  const std::uint64_t id = (schema->fieldMask & NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_SCHEMA_ID) != 0
                               ? schema->schemaId
                               : next_schema.fetch_add(1, std::memory_order_relaxed);
  Spool* spool = Spool::get();
  if (spool == nullptr || schema->entries == nullptr) return id;
  for (std::size_t i = 0; i < schema->numEntries && i < 64; ++i) {
    const nvtxPayloadSchemaEntry_t& entry = schema->entries[i];
    const std::uint64_t name = entry.name != nullptr ? spool->intern(entry.name) : 0;
    auto* record = spool->begin<SchemaFieldRecord>(RecordKind::kSchemaField);
    if (record == nullptr) break;
    record->head.time_ns = now_ns();
    record->head.small = static_cast<std::uint32_t>(i);
    record->domain = id_of(domain);
    record->schema = id;
    record->name = name;
    record->type = static_cast<std::uint32_t>(entry.type);
    record->offset = static_cast<std::uint32_t>(entry.offset);
    spool->commit(record);
  }
  return id;
}

/// An event without attributes, only with binary payloads; the first is kept.
void write_payload(RecordKind kind, nvtxDomainHandle_t domain, std::uint64_t range, const nvtxPayloadData_t* data,
                   std::size_t count) {
  nvtxEventAttributes_t event{};
  event.payloadType = NVTX_PAYLOAD_TYPE_EXT;
  event.reserved0 = static_cast<std::int32_t>(count);
  event.payload.ullValue = reinterpret_cast<std::uint64_t>(data);
  write(kind, id_of(domain), range, event);
}
void NVTX_API mark_payload(nvtxDomainHandle_t domain, const nvtxPayloadData_t* data, std::size_t count) {
  write_payload(RecordKind::kMark, domain, 0, data, count);
}
int NVTX_API push_payload(nvtxDomainHandle_t domain, const nvtxPayloadData_t* data, std::size_t count) {
  write_payload(RecordKind::kRangePush, domain, 0, data, count);
  return depth++;
}
int NVTX_API pop_payload(nvtxDomainHandle_t domain, const nvtxPayloadData_t* data, std::size_t count) {
  write_payload(RecordKind::kRangePop, domain, 0, data, count);
  return depth > 0 ? --depth : -1;
}
nvtxRangeId_t NVTX_API start_payload(nvtxDomainHandle_t domain, const nvtxPayloadData_t* data, std::size_t count) {
  const std::uint64_t range = next_range.fetch_add(1, std::memory_order_relaxed);
  write_payload(RecordKind::kRangeStart, domain, range, data, count);
  return range;
}
void NVTX_API end_payload(nvtxDomainHandle_t domain, nvtxRangeId_t range, const nvtxPayloadData_t* data,
                          std::size_t count) {
  write_payload(RecordKind::kRangeEnd, domain, range, data, count);
}

template <class Function>
void set(NvtxFunctionTable table, unsigned int size, unsigned int index, Function* function) {
  if (index < size && table[index] != nullptr) *table[index] = reinterpret_cast<NvtxFunctionPointer>(function);
}

void fill_core(NvtxFunctionTable table, unsigned int size) {
  set(table, size, NVTX_CBID_CORE_MarkEx, mark_ex);
  set(table, size, NVTX_CBID_CORE_MarkA, mark_a);
  set(table, size, NVTX_CBID_CORE_MarkW, mark_w);
  set(table, size, NVTX_CBID_CORE_RangeStartEx, start_ex);
  set(table, size, NVTX_CBID_CORE_RangeStartA, start_a);
  set(table, size, NVTX_CBID_CORE_RangeStartW, start_w);
  set(table, size, NVTX_CBID_CORE_RangeEnd, range_end);
  set(table, size, NVTX_CBID_CORE_RangePushEx, push_ex);
  set(table, size, NVTX_CBID_CORE_RangePushA, push_a);
  set(table, size, NVTX_CBID_CORE_RangePushW, push_w);
  set(table, size, NVTX_CBID_CORE_RangePop, pop);
  set(table, size, NVTX_CBID_CORE_NameOsThreadA, name_thread_a);
  set(table, size, NVTX_CBID_CORE_NameOsThreadW, name_thread_w);
}

void fill_domains(NvtxFunctionTable table, unsigned int size) {
  set(table, size, NVTX_CBID_CORE2_DomainMarkEx, domain_mark);
  set(table, size, NVTX_CBID_CORE2_DomainRangeStartEx, domain_start);
  set(table, size, NVTX_CBID_CORE2_DomainRangeEnd, domain_end);
  set(table, size, NVTX_CBID_CORE2_DomainRangePushEx, domain_push);
  set(table, size, NVTX_CBID_CORE2_DomainRangePop, domain_pop);
  set(table, size, NVTX_CBID_CORE2_DomainRegisterStringA, register_a);
  set(table, size, NVTX_CBID_CORE2_DomainRegisterStringW, register_w);
  set(table, size, NVTX_CBID_CORE2_DomainCreateA, create_a);
  set(table, size, NVTX_CBID_CORE2_DomainCreateW, create_w);
  set(table, size, NVTX_CBID_CORE2_DomainDestroy, destroy);
}

}  // namespace

}  // namespace shardscope::capture

extern "C" {

/// NVTX 3 calls this in the library that NVTX_INJECTION64_PATH names. 1: we took it.
__attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  using namespace shardscope::capture;
  if (get_table == nullptr || spool_options().folder == nullptr) return 0;
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  if (callbacks == nullptr || callbacks->struct_size < sizeof(NvtxExportTableCallbacks)) return 0;
  NvtxFunctionTable table = nullptr;
  unsigned int size = 0;
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size) != 0) fill_core(table, size);
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) != 0) fill_domains(table, size);
  return 1;
}

/// The second entry point, for extended payloads. 1: we took it.
__attribute__((visibility("default"))) int InitializeInjectionNvtxExtension(nvtxExtModuleInfo_t* module) {
  using namespace shardscope::capture;
  if (module == nullptr || module->segments == nullptr || module->segmentsCount < 1) return 0;
  if (module->moduleId != NVTX_EXT_PAYLOAD_MODULEID) return 0;
  nvtxExtModuleSegment_t& segment = module->segments[0];
  if (segment.functionSlots == nullptr) return 0;
  const auto fill = [&segment](std::size_t index, auto* function) {
    if (index < segment.slotCount) segment.functionSlots[index] = reinterpret_cast<std::intptr_t>(function);
  };
  fill(NVTX3EXT_CBID_nvtxPayloadSchemaRegister, &register_schema);
  fill(NVTX3EXT_CBID_nvtxMarkPayload, &mark_payload);
  fill(NVTX3EXT_CBID_nvtxRangePushPayload, &push_payload);
  fill(NVTX3EXT_CBID_nvtxRangePopPayload, &pop_payload);
  fill(NVTX3EXT_CBID_nvtxRangeStartPayload, &start_payload);
  fill(NVTX3EXT_CBID_nvtxRangeEndPayload, &end_payload);
  return 1;
}
}
