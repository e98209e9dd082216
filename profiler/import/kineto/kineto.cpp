// PyTorch's profiler: Chrome JSON as Kineto writes it, of NVIDIA, AMD and other devices, from 2020 on. An object whose
// "traceEvents" are read as they come, or a bare list; what says which rank it is may come after them.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "profiler/import/importer.h"
#include "profiler/import/kineto/kineto_rank.h"
#include "profiler/import/kineto/own_export.h"
#include "profiler/import/names.h"

namespace shardscope {
namespace {

using nlohmann::json;

constexpr std::int64_t kYear2001 = 1'000'000'000'000'000'000;  ///< ns since 1970: absolute times are larger

std::optional<std::int64_t> integer_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<std::int64_t>();
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

class KinetoFile {
 public:
  KinetoFile(ImportSource& source, ImportWriter& writer)
      : source_(source),
        writer_(writer),
        window_(source),
        rank_(writer.add_rank({.file = source.name(), .format = "kineto", .tool = "PyTorch Kineto"})),
        events_(writer, rank_) {}

  void read() {
    if (window_.rest().starts_with("\xef\xbb\xbf")) window_.advance(3);
    if (window_.take('[')) {
      read_events();
    } else if (window_.take('{')) {
      read_object();
    }
    finish();
  }

 private:
  void read_object();
  void read_events();
  bool resume();
  void read_member(const std::string& key);
  void read_devices();
  void read_distributed();
  void read_own();
  void truncated() { cut_ = true; }
  void finish();
  void finish_rank();

  ImportSource& source_;
  ImportWriter& writer_;
  JsonWindow window_;
  const int rank_;
  KinetoRank events_;
  std::optional<OwnExport> own_;       ///< if it is what we wrote ourselves
  std::optional<std::int64_t> world_;  ///< as that says
  std::optional<std::int64_t> base_ns_;
  std::string text_;
  bool cut_ = false;
};

void KinetoFile::read_object() {
  std::string key;
  if (window_.take('}')) return;
  do {
    if (!window_.text(key) || !window_.take(':')) return truncated();
    if (key == "traceEvents" && window_.take('[')) {
      read_events();
    } else {
      read_member(key);
    }
    if (cut_ || source_.cancelled()) return;
  } while (window_.take(','));
  if (!window_.take('}')) truncated();
}

void KinetoFile::read_member(const std::string& key) {
  if (key == "deviceProperties") return read_devices();
  if (key == "distributedInfo") return read_distributed();
  if (key == "shardscope") return read_own();
  const bool wanted = key == "baseTimeNanoseconds" || key == "schemaVersion" || key == "cupti_version";
  if (!wanted) {
    if (!window_.skip()) truncated();
    return;
  }
  if (!window_.value(text_)) return truncated();
  if (key == "baseTimeNanoseconds") base_ns_ = to_integer(text_);
  if (key == "schemaVersion") writer_.facts(rank_).version = "schema " + text_;
}

void KinetoFile::read_devices() {
  if (!window_.value(text_)) return truncated();
  const json devices = json::parse(text_, nullptr, false);
  if (!devices.is_array()) return;
  for (const json& d : devices) {
    const auto major = integer_of(d, "computeMajor"), minor = integer_of(d, "computeMinor");
    writer_.device(rank_, {.device = integer_of(d, "id").value_or(0),
                           .name = text_of(d, "name"),
                           .capability = major ? std::to_string(*major) + "." + std::to_string(minor.value_or(0)) : "",
                           .memory_bytes = integer_of(d, "totalGlobalMem"),
                           .processors = integer_of(d, "numSms")});
  }
}

void KinetoFile::read_distributed() {
  if (!window_.value(text_)) return truncated();
  const json info = json::parse(text_, nullptr, false);
  SourceFacts& facts = writer_.facts(rank_);
  facts.rank = integer_of(info, "rank");
  facts.world = integer_of(info, "world_size");
}

/// Stands before the events.
void KinetoFile::read_own() {
  if (!window_.value(text_)) return truncated();
  const json about = json::parse(text_, nullptr, false);
  if (!integer_of(about, "version")) return;
  world_ = integer_of(about, "world");
  own_.emplace(writer_, rank_, source_.name());
}

void KinetoFile::read_events() {
  KinetoEvent event;
  if (window_.take(']')) return;
  for (;;) {
    if (source_.cancelled()) return;
    JsonCursor at = window_.cursor();
    if (read_event(at, event)) {
      own_ ? own_->event(event) : events_.event(event);
      window_.accept(at);
    } else if (at.cut()) {
      if (window_.more()) continue;  // and again from the start of the event
      if (!window_.is_full()) return truncated();
      writer_.diagnostic(rank_, "large_event", "events of more than 32 MiB were not kept");
      if (!resume()) return truncated();
    } else {
      writer_.diagnostic(rank_, "bad_event", "events that are not sound JSON were not kept");
      if (!resume()) return truncated();
      continue;
    }
    if (window_.take(',')) {
      if (window_.peek() == ']') break;  // a comma too many, as some writers leave it
      continue;
    }
    if (window_.peek() == '{') continue;  // one too few
    break;
  }
  if (!window_.take(']')) truncated();
}

/// After something broken: to the next place that looks like the start of an event.
bool KinetoFile::resume() {
  window_.advance(1);
  for (;;) {
    if (!window_.find("{")) return false;
    JsonCursor at = window_.cursor();
    std::string_view key;
    const bool starts =
        at.take('{') && at.text(key) && (key == "ph" || key == "name" || key == "cat" || key == "ts" || key == "pid");
    if (starts) return true;
    if (at.cut() && window_.more()) continue;
    window_.advance(1);
  }
}

void KinetoFile::finish() {
  if (own_) {
    const bool known = base_ns_ && *base_ns_ > 0 && *base_ns_ < INT64_MAX / 4;
    own_->finish(known ? base_ns_ : std::nullopt, world_);
  } else {
    finish_rank();
  }
  if (source_.cancelled()) return;
  if (!source_.broken().empty()) {
    writer_.diagnostic(rank_, "truncated", source_.broken() + "; what comes before is here");
  } else if (cut_) {
    writer_.diagnostic(rank_, "truncated", "the file ends in the middle; what comes before is here");
  }
  if (!events_.has_events() && !(own_ && own_->has_events()))
    throw Error(ErrorKind::kParse, source_.path() + ": holds no events");
}

void KinetoFile::finish_rank() {
  SourceFacts& facts = writer_.facts(rank_);
  if (!facts.rank) facts.rank = rank_in_name(source_.name());
  if (base_ns_ && *base_ns_ > 0 && *base_ns_ < INT64_MAX / 4) {
    facts.base_ns = base_ns_;
  } else if (writer_.first_ns(rank_).value_or(0) > kYear2001) {
    facts.base_ns = 0;
  }
  events_.finish();
}

bool has_key(std::string_view head, std::string_view key) {
  return head.find("\"" + std::string(key) + "\"") != std::string_view::npos;
}

/// A list of events, or an object that says so or begins as Kineto's do.
bool recognises(const ImportSource& source) {
  std::string_view head = source.head();
  if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
  const std::size_t first = head.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return false;
  if (head[first] == '[') return has_key(head, "ph") && (has_key(head, "ts") || has_key(head, "pid"));
  if (head[first] != '{') return false;
  return has_key(head, "traceEvents") || (has_key(head, "schemaVersion") && has_key(head, "deviceProperties"));
}

void import_kineto(ImportSource& source, ImportWriter& writer) { KinetoFile(source, writer).read(); }

}  // namespace

extern const Importer kKinetoImporter;
const Importer kKinetoImporter = {"kineto", "PyTorch profiler (Kineto) Chrome JSON, also gzipped", recognises,
                                  import_kineto};

}  // namespace shardscope
