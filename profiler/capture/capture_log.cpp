#include "profiler/capture/capture_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

#include "core/error.h"

namespace shardscope::capture {

namespace {

enum BlockKind : std::uint32_t { kRecords = 1, kTexts = 2, kFacts = 3 };

struct BlockHead {
  std::uint32_t kind, thread, bytes, reserved;
};

struct FactsBlock {
  std::int32_t pid, parent, rank, world, local_rank, ended;
  std::int64_t started_ns;
  std::uint64_t lost_records, lost_strings, lost_activities, overwritten;
  char program[128];
};

struct TextHead {
  std::uint64_t id;
  std::uint32_t bytes, reserved;
};

constexpr std::uint32_t kMostBlock = 64 << 20;

FactsBlock facts_block(const SpoolHeader& header) {
  FactsBlock block{};
  block.pid = header.pid;
  block.parent = header.parent;
  block.rank = header.rank;
  block.world = header.world;
  block.local_rank = header.local_rank;
  block.ended = static_cast<std::int32_t>(header.ended.load() & kSaidGoodbye);
  block.started_ns = header.started_ns;
  block.lost_records = header.lost_records.load();
  block.lost_strings = header.lost_strings.load();
  block.lost_activities = header.lost_activities.load();
  block.overwritten = header.overwritten.load();
  std::memcpy(block.program, header.program, sizeof block.program);
  return block;
}

ProcessFacts facts_of(const FactsBlock& block) {
  ProcessFacts facts;
  facts.pid = block.pid;
  facts.parent = block.parent;
  facts.rank = block.rank;
  facts.world = block.world;
  facts.local_rank = block.local_rank;
  facts.started_ns = block.started_ns;
  facts.program.assign(block.program, strnlen(block.program, sizeof block.program));
  facts.ended = block.ended != 0;
  facts.lost_records = block.lost_records;
  facts.lost_strings = block.lost_strings;
  facts.lost_activities = block.lost_activities;
  facts.overwritten_chunks = block.overwritten;
  return facts;
}

std::string_view bytes_of(const auto& value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

/// The ids of texts in a record, wherever its kind has them.
template <class Visit>
void for_each_text(const RecordHead& head, Visit visit) {
  const auto texts_of = [&](const auto* record, auto... members) {
    if (record != nullptr) (visit(record->*members), ...);
  };
  switch (head.kind) {
    case RecordKind::kRangePush:
    case RecordKind::kRangePop:
    case RecordKind::kRangeStart:
    case RecordKind::kRangeEnd:
    case RecordKind::kMark:
      texts_of(record_as<RangeRecord>(head), &RangeRecord::name, &RangeRecord::domain);
      break;
    case RecordKind::kSchemaField:
      texts_of(record_as<SchemaFieldRecord>(head), &SchemaFieldRecord::domain, &SchemaFieldRecord::name);
      break;
    case RecordKind::kThreadName:
      texts_of(record_as<NameRecord>(head), &NameRecord::name);
      break;
    case RecordKind::kNcclInit:
      texts_of(record_as<NcclInitRecord>(head), &NcclInitRecord::name);
      break;
    case RecordKind::kNcclStart:
      texts_of(record_as<NcclStartRecord>(head), &NcclStartRecord::function, &NcclStartRecord::datatype,
               &NcclStartRecord::algorithm, &NcclStartRecord::protocol);
      break;
    case RecordKind::kKernel:
    case RecordKind::kGraph:
      texts_of(record_as<KernelRecord>(head), &KernelRecord::name);
      break;
    case RecordKind::kApi:
      texts_of(record_as<ApiRecord>(head), &ApiRecord::name);
      break;
    case RecordKind::kDeviceMemory:
      texts_of(record_as<MemoryRecord>(head), &MemoryRecord::name);
      break;
    case RecordKind::kDevice:
      texts_of(record_as<DeviceRecord>(head), &DeviceRecord::name);
      break;
    case RecordKind::kGap:
      texts_of(record_as<GapRecord>(head), &GapRecord::why);
      break;
    default:
      break;
  }
}

/// Up to where a log consists of whole blocks: what comes behind was being written when its writer ended.
off_t whole_length(int file) {
  off_t at = kCaptureLogMagic.size();
  const off_t size = lseek(file, 0, SEEK_END);
  for (BlockHead head{}; pread(file, &head, sizeof head, at) == sizeof head;) {
    const off_t next = at + static_cast<off_t>(sizeof head) + head.bytes;
    if (head.bytes > kMostBlock || next > size) break;
    at = next;
  }
  return std::min(at, size);
}

}  // namespace

ProcessFacts facts_of(const SpoolHeader& header) { return facts_of(facts_block(header)); }

CaptureLog::CaptureLog(const std::string& path, const SpoolHeader& header, bool append) : path_(path) {
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | (append ? 0 : O_TRUNC), 0600);
  if (file_ < 0) throw Error(ErrorKind::kIo, path + ": " + std::strerror(errno));
  const off_t end = append ? whole_length(file_) : 0;
  if (append && ftruncate(file_, end) != 0) problem_ = path + ": " + std::strerror(errno);
  lseek(file_, end, SEEK_SET);
  if (end == 0) buffer_.append(kCaptureLogMagic);
  write(kFacts, 0, bytes_of(facts_block(header)));
}

CaptureLog::~CaptureLog() { ::close(file_); }

void CaptureLog::write(std::uint32_t kind, std::uint32_t thread, std::string_view bytes) {
  const BlockHead head{kind, thread, static_cast<std::uint32_t>(bytes.size()), 0};
  buffer_.append(bytes_of(head));
  buffer_.append(bytes);
  for (std::size_t done = 0; done < buffer_.size() && problem_.empty();) {
    const ssize_t n = ::write(file_, buffer_.data() + done, buffer_.size() - done);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      problem_ = path_ + ": " + std::strerror(errno) + "; what comes after this is lost";
    }
  }
  buffer_.clear();
}

std::int64_t CaptureLog::add(SpoolReader& spool) {
  std::string texts, records;
  std::uint32_t thread = 0;
  std::int64_t count = 0;
  const auto flush = [&] {
    if (!texts.empty()) write(kTexts, 0, texts);  // before the records that name them
    if (!records.empty()) write(kRecords, thread, records);
    texts.clear();
    records.clear();
  };
  const auto keep_text = [&](std::uint64_t id) {
    if (id == 0 || !texts_.emplace(id, true).second) return;
    const std::string_view text = spool.text(id);
    const TextHead head{id, static_cast<std::uint32_t>(text.size()), 0};
    texts.append(bytes_of(head));
    texts.append(text);
  };
  spool.poll([&](std::uint32_t of, const RecordHead& head) {
    if (!problem_.empty()) return;
    if (of != thread || records.size() > (1 << 20)) flush();
    thread = of;
    for_each_text(head, keep_text);
    records.append(reinterpret_cast<const char*>(&head), head.bytes);
    ++count;
  });
  flush();
  if (count > 0 || spool.header().ended.load() != 0) write(kFacts, 0, bytes_of(facts_block(spool.header())));
  records_ += count;
  return count;
}

CaptureLogReader::CaptureLogReader(const std::string& path) : path_(path) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) throw Error(ErrorKind::kConfig, path + ": " + std::strerror(errno));
  file_ = file;
  char magic[8] = {};
  if (std::fread(magic, 1, sizeof magic, file) != sizeof magic ||
      std::string_view(magic, sizeof magic) != kCaptureLogMagic) {
    std::fclose(file);
    throw Error(ErrorKind::kParse, path + ": not the log of a capture");
  }
  position_ = sizeof magic;
  // Whose log it is comes first.
  read_block([](std::uint32_t, const RecordHead&) {});
}

CaptureLogReader::~CaptureLogReader() { std::fclose(static_cast<std::FILE*>(file_)); }

bool CaptureLogReader::read(const Visit& visit, const std::function<bool(std::int64_t)>& position) {
  while (read_block(visit)) {
    if (position && !position(position_)) return true;
  }
  return at_end_;
}

bool CaptureLogReader::read_block(const Visit& visit) {
  auto* file = static_cast<std::FILE*>(file_);
  BlockHead head{};
  const std::size_t got = std::fread(&head, 1, sizeof head, file);
  at_end_ = got == 0;
  if (got != sizeof head || head.bytes > kMostBlock) return false;
  block_.resize(head.bytes);
  const std::size_t bytes = std::fread(block_.data(), 1, head.bytes, file);
  block_.resize(bytes);
  position_ += static_cast<std::int64_t>(sizeof head + bytes);
  if (head.kind == kTexts) take_texts(block_);
  if (head.kind == kFacts && bytes == sizeof(FactsBlock)) {
    FactsBlock block{};
    std::memcpy(&block, block_.data(), sizeof block);
    facts_ = facts_of(block);
  }
  for (std::size_t at = 0; head.kind == kRecords && at + sizeof(RecordHead) <= bytes;) {
    const auto& record = *reinterpret_cast<const RecordHead*>(block_.data() + at);
    if (record.bytes < sizeof(RecordHead) || record.bytes % 8 != 0 || at + record.bytes > bytes) {
      ++damaged_;
      break;
    }
    visit(head.thread, record);
    at += record.bytes;
  }
  return bytes == head.bytes;
}

void CaptureLogReader::take_texts(std::string_view bytes) {
  while (bytes.size() >= sizeof(TextHead)) {
    TextHead head{};
    std::memcpy(&head, bytes.data(), sizeof head);
    bytes.remove_prefix(sizeof head);
    if (head.bytes > bytes.size()) {
      ++damaged_;
      return;
    }
    texts_.emplace(head.id, std::string(bytes.substr(0, head.bytes)));
    bytes.remove_prefix(head.bytes);
  }
}

std::string_view CaptureLogReader::text(std::uint64_t id) const {
  if (id == 0) return {};
  const auto found = texts_.find(id);
  return found == texts_.end() ? std::string_view("?") : std::string_view(found->second);
}

}  // namespace shardscope::capture
