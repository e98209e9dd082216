#include "profiler/capture/capture_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
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
  // since version 2 of spools
  std::int64_t first_step, last_step;
  std::uint64_t thinned, over_budget;
};
constexpr std::size_t kFirstFactsBytes = offsetof(FactsBlock, first_step);

struct TextHead {
  std::uint64_t id;
  std::uint32_t bytes, reserved;
};

constexpr std::uint32_t kMostBlock = 64 << 20;
constexpr std::size_t kMostHeld = 256 << 20;  ///< of records whose step is under way, by process

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
  block.first_step = header.first_step.load();
  block.last_step = header.last_step.load();
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
  facts.first_step = block.first_step;
  facts.last_step = block.last_step;
  facts.thinned = block.thinned;
  facts.over_budget = block.over_budget;
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

/// What the records of other times cannot be understood without, or cannot be had again.
bool is_identity(RecordKind kind) {
  switch (kind) {
    case RecordKind::kSchemaField:
    case RecordKind::kThreadName:
    case RecordKind::kStep:
    case RecordKind::kNcclInit:
    case RecordKind::kNcclFinalize:
    case RecordKind::kDevice:
    case RecordKind::kDeviceMemory:  // few, and the live bytes are their sum
    case RecordKind::kGap:
      return true;
    default:
      return false;
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

/// What is on its way into the file: records of one thread in a row, and the texts that they name.
struct CaptureLog::Pending {
  std::string texts, records;
  std::uint32_t thread = 0;
};

void CaptureLog::flush(Pending& pending) {
  if (!pending.texts.empty()) write(kTexts, 0, pending.texts);  // before the records that name them
  if (!pending.records.empty()) write(kRecords, pending.thread, pending.records);
  pending.texts.clear();
  pending.records.clear();
}

void CaptureLog::put(SpoolReader& spool, std::uint32_t thread, const RecordHead& head, Pending& pending) {
  if (!problem_.empty()) return;
  if (bytes_ > budget_bytes_ && !is_identity(head.kind)) {
    ++over_budget_;
    return;
  }
  if (thread != pending.thread || pending.records.size() > (1 << 20)) flush(pending);
  pending.thread = thread;
  for_each_text(head, [&](std::uint64_t id) {
    if (id == 0 || !texts_.emplace(id, true).second) return;
    const std::string_view text = spool.text(id);
    const TextHead text_head{id, static_cast<std::uint32_t>(text.size()), 0};
    pending.texts.append(bytes_of(text_head));
    pending.texts.append(text);
  });
  pending.records.append(reinterpret_cast<const char*>(&head), head.bytes);
  ++records_;
  bytes_ += head.bytes;
}

/// Kept, dropped, or held until it is known how long its step took.
void CaptureLog::take(SpoolReader& spool, std::uint32_t thread, const RecordHead& head, Pending& pending) {
  if (!slow_) return put(spool, thread, head, pending);
  if (const auto* step = record_as<StepRecord>(head); step != nullptr && head.kind == RecordKind::kStep)
    slow_->add(head.time_ns, step->end_ns);
  if (is_identity(head.kind)) return put(spool, thread, head, pending);
  switch (slow_->fate(head.time_ns)) {
    case Fate::kKeep:
      return put(spool, thread, head, pending);
    case Fate::kDrop:
      ++thinned_;
      return;
    case Fate::kWait:
      held_.emplace_back(thread, std::string(reinterpret_cast<const char*>(&head), head.bytes));
      held_bytes_ += head.bytes;
      if (held_bytes_ > kMostHeld) {  // no step ends: the newest are held
        held_bytes_ -= held_.front().second.size();
        held_.pop_front();
        ++thinned_;
      }
  }
}

void CaptureLog::settle_held(SpoolReader& spool, Pending& pending) {
  std::deque<std::pair<std::uint32_t, std::string>> still;
  std::size_t still_bytes = 0;
  for (auto& [thread, bytes] : held_) {
    const auto& head = *reinterpret_cast<const RecordHead*>(bytes.data());
    const Fate fate = slow_->fate(head.time_ns);
    if (fate == Fate::kKeep) put(spool, thread, head, pending);
    if (fate == Fate::kDrop) ++thinned_;
    if (fate != Fate::kWait) continue;
    still_bytes += bytes.size();
    still.emplace_back(thread, std::move(bytes));
  }
  held_ = std::move(still);
  held_bytes_ = still_bytes;
}

void CaptureLog::write_facts(const SpoolHeader& header) {
  FactsBlock block = facts_block(header);
  block.thinned = thinned_;
  block.over_budget = over_budget_;
  write(kFacts, 0, bytes_of(block));
}

std::int64_t CaptureLog::add(SpoolReader& spool, const SpoolReader::Visit& also) {
  Pending pending;
  const std::int64_t steps = slow_ ? slow_->steps() : 0;
  const std::int64_t count = spool.poll([&](std::uint32_t thread, const RecordHead& head) {
    take(spool, thread, head, pending);
    if (also) also(thread, head);
  });
  if (slow_ && slow_->steps() != steps) settle_held(spool, pending);
  flush(pending);
  if (count > 0 || spool.header().ended.load() != 0) write_facts(spool.header());
  return count;
}

std::int64_t CaptureLog::add_identities(SpoolReader& spool, const SpoolReader::Visit& also) {
  Pending pending;
  const std::int64_t count = spool.peek([&](std::uint32_t thread, const RecordHead& head) {
    // Steps stay in the ring: what is dumped has them.
    if (is_identity(head.kind) && head.kind != RecordKind::kStep) put(spool, thread, head, pending);
    if (also) also(thread, head);
  });
  flush(pending);
  return count;
}

void CaptureLog::keep_slow_steps(double percent, std::int64_t budget_bytes) {
  slow_.emplace(percent);
  budget_bytes_ = budget_bytes;
}

void CaptureLog::add_rest(SpoolReader& spool) {
  add(spool);
  thinned_ += held_.size();
  held_.clear();
  held_bytes_ = 0;
  if (thinned_ + over_budget_ > 0) write_facts(spool.header());
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
  if (head.kind == kFacts && bytes >= kFirstFactsBytes) {
    FactsBlock block{};
    block.last_step = -1;
    std::memcpy(&block, block_.data(), std::min(bytes, sizeof block));
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
