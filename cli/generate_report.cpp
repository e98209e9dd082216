#include "cli/generate_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/launches.h"
#include "cli/memory_json.h"
#include "core/engine/arena.h"

namespace shardscope::cli {
namespace {

using nlohmann::ordered_json;

std::int64_t device_peak(const MemoryPeak& peak) { return peak.peak_bytes[static_cast<std::size_t>(Space::kDevice)]; }

/// A program's work and time. Tokens of one step; seconds of the middle step, 0 if none ran.
struct Speed {
  std::int64_t tokens = 0;
  double measured_s = 0, predicted_s = 0;
  double per_second(double seconds) const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
};

Speed prefill_speed(const GenerateReport& r) {
  Speed speed{.predicted_s = r.predicted.prefill.step_time_s};
  for (const Tokens& prompt : r.prompts) speed.tokens += static_cast<std::int64_t>(prompt.size());
  if (r.result != nullptr) speed.measured_s = r.result->prefill_time_s;
  return speed;
}

Speed decode_speed(const GenerateReport& r) {
  return {r.spec.batch, r.result == nullptr ? 0 : r.result->median_decode_time_s(), r.predicted.decode.step_time_s};
}

bool decoded(const GenerateReport& r) { return r.result != nullptr && !r.result->decode_times_s.empty(); }

/// Over the programs that ran, or would.
MemoryPeak predicted_peak(const GenerateReport& r, std::size_t rank) {
  const InferencePrograms& p = r.programs[rank];
  const bool decodes = r.result == nullptr ? r.spec.new_tokens > 1 : decoded(r);
  return decodes ? compute_memory_peak(p) : compute_memory_peak(p.prefill);
}

RankResult measured_rank(const GenerateReport& r, std::size_t rank) {
  RankResult result = r.result->prefill[rank];
  if (!decoded(r)) return result;
  result.peak = larger_of(result.peak, r.result->decode[rank].peak);
  result.rss_bytes = r.result->decode[rank].rss_bytes;
  return result;
}

std::string guess_note(const GenerateReport& r) {
  return r.predicted.decode.calibrated ? "" : " (a guess: no --machine)";
}

std::string speed_line(const char* name, const Speed& speed, const char* each, const std::string& note) {
  std::string line = fmt::format("{:<12}", name);
  if (speed.measured_s > 0) {
    line += fmt::format("{:.4f} s{}, {:.1f} tokens/s measured; ", speed.measured_s, each,
                        speed.per_second(speed.measured_s));
  }
  return line + fmt::format("{:.4f} s{}, {:.1f} tokens/s predicted{}\n", speed.predicted_s, each,
                            speed.per_second(speed.predicted_s), note);
}

ordered_json speed_json(const Speed& speed) {
  ordered_json json{{"tokens", speed.tokens}};
  if (speed.measured_s > 0) {
    json["time_s"] = speed.measured_s;
    json["tokens_per_s"] = speed.per_second(speed.measured_s);
  }
  json["predicted_time_s"] = speed.predicted_s;
  json["predicted_tokens_per_s"] = speed.per_second(speed.predicted_s);
  return json;
}

ordered_json sequences_json(const GenerateReport& r, const std::vector<std::string>& texts) {
  ordered_json sequences = ordered_json::array();
  for (std::size_t i = 0; i < r.result->continuations.size(); ++i) {
    const Continuation& c = r.result->continuations[i];
    sequences.push_back({{"prompt_tokens", r.prompts[i]},
                         {"tokens", c.tokens},
                         {"logprobs", c.logprobs},
                         {"text", texts[i]},
                         {"ended", c.ended}});
  }
  return sequences;
}

}  // namespace

std::int64_t cache_bytes(const Program& program) {
  std::int64_t bytes = 0;
  for (const Buffer& b : program.buffers) bytes += b.category == Category::kCache ? b.bytes() : 0;
  return bytes;
}

std::string report_text(const GenerateReport& r) {
  std::string text = speed_line("prefill", prefill_speed(r), "", guess_note(r));
  const bool decodes = r.result == nullptr ? r.spec.new_tokens > 1 : decoded(r);
  if (decodes) text += speed_line("decode", decode_speed(r), " a step", guess_note(r));
  if (decoded(r)) text += launches_text(r.result->decode.front().launches);
  for (std::size_t rank = 0; rank < r.programs.size(); ++rank) {
    const MemoryPeak predicted = predicted_peak(r, rank);
    text += fmt::format("rank {:<7}", rank);
    if (r.result != nullptr) text += fmt::format("{} bytes measured, ", device_peak(measured_rank(r, rank).peak));
    text += fmt::format("{} predicted: {}\n", device_peak(predicted), describe(predicted.at_peak, Space::kDevice));
  }
  const double tokens = static_cast<double>(r.spec.batch * r.spec.capacity());
  const std::int64_t cache = cache_bytes(r.programs.front().decode);
  return text + fmt::format("cache       {} a rank for {} tokens, {:.0f} bytes a token\n", format_bytes(cache), tokens,
                            static_cast<double>(cache) / tokens);
}

ordered_json report_json(const GenerateReport& r, const std::vector<std::string>& texts) {
  ordered_json out;
  out["model"] = r.spec.model.name;
  out["weights"] = to_string(r.spec.weights);
  out["ranks"] = r.spec.tp;
  if (r.result != nullptr) out["sequences"] = sequences_json(r, texts);
  out["prefill"] = speed_json(prefill_speed(r));
  out["decode"] = speed_json(decode_speed(r));
  if (decoded(r)) out["decode"]["launches"] = launches_json(r.result->decode.front().launches);
  out["cache_bytes_per_rank"] = cache_bytes(r.programs.front().decode);
  nlohmann::json measured = nlohmann::json::array(), predicted = nlohmann::json::array();
  for (std::size_t rank = 0; rank < r.programs.size(); ++rank) {
    const int number = static_cast<int>(rank);
    predicted.push_back(rank_json(number, predicted_peak(r, rank), 0));
    if (r.result == nullptr) continue;
    const RankResult m = measured_rank(r, rank);
    measured.push_back(rank_json(number, m.peak, m.rss_bytes));
  }
  out["memory"] = {{"measured", measured}, {"predicted", predicted}};
  out["calibrated"] = r.predicted.decode.calibrated;
  if (r.result != nullptr) out["interrupted"] = r.result->interrupted;
  return out;
}

}  // namespace shardscope::cli
