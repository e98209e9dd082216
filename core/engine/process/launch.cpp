#include "core/engine/process/launch.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "core/error.h"

namespace shardscope {
namespace {

/// Reads the variables of one launcher.
class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}
  bool has(const char* name) const { return environment_(name).has_value(); }
  template <class... Names>
  bool has(const char* first, Names... names) const {
    return has(first) && has(names...);
  }
  std::string text(const char* name) const { return environment_(name).value_or(""); }

  int number(const char* name, int least, int most) const {
    const std::string value = text(name);
    int number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < least || number > most) {
      throw Error(ErrorKind::kConfig,
                  fmt::format("{} is \"{}\"; it must be a number from {} to {}", name, value, least, most));
    }
    return number;
  }

  Launch launch(const char* by, const char* rank, const char* world) const {
    Launch launch{.by = by};
    launch.world = number(world, 1, 1 << 24);
    launch.rank = number(rank, 0, launch.world - 1);
    return launch;
  }

  /// torchrun keeps a store of its own at MASTER_PORT when it says so; the next port is ours.
  void add_meeting_place(Launch& launch) const {
    launch.host = text("MASTER_ADDR");
    launch.port = number("MASTER_PORT", 1, 65534) + (text("TORCHELASTIC_USE_AGENT_STORE") == "True" ? 1 : 0);
  }

 private:
  const Environment& environment_;
};

/// Without regard to how many there are.
std::optional<Launch> find_launch(const Variables& v) {
  const bool has_place = v.has("MASTER_ADDR", "MASTER_PORT");
  const bool by_slurm = v.has("SLURM_PROCID", "SLURM_NTASKS");
  std::optional<Launch> launch;
  if (has_place && v.has("RANK", "WORLD_SIZE")) {
    launch = v.launch("torchrun's variables", "RANK", "WORLD_SIZE");
    v.add_meeting_place(*launch);
  } else if (v.has("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")) {
    launch = v.launch("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
    launch->has_mpi = true;
  } else if (v.has("PMI_RANK", "PMI_SIZE")) {
    launch = v.launch("MPI", "PMI_RANK", "PMI_SIZE");
    launch->has_mpi = true;
  } else if (by_slurm && has_place) {
    launch = v.launch("srun", "SLURM_PROCID", "SLURM_NTASKS");
    v.add_meeting_place(*launch);
  } else if (by_slurm && v.has("SLURM_STEP_ID")) {  // a batch script has the others too, and is no rank
    launch = v.launch("srun", "SLURM_PROCID", v.has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS");
    launch->has_mpi = true;
  } else if (v.has("RANK", "WORLD_SIZE") && v.text("WORLD_SIZE") != "1") {
    throw Error(ErrorKind::kConfig,
                "RANK and WORLD_SIZE are set: MASTER_ADDR and MASTER_PORT must say where rank 0 listens");
  }
  return launch;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): before any thread is there
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

std::optional<Launch> detect_launch(const Environment& environment) {
  std::optional<Launch> launch = find_launch(Variables(environment));
  if (launch && launch->world == 1) launch.reset();
  return launch;
}

}  // namespace shardscope
