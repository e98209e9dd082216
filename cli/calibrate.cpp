// shardscope calibrate: measures this machine for predict and train.

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/calibrate_from.h"
#include "cli/command.h"
#include "core/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "simulator/calibrate/calibrate.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string output = "machine.json", nvme, from, run, base;
  int cores = 0;
  bool json = false;
};

void print_summary(const Machine& machine, const std::string& path, double seconds, bool drive_measured) {
  fmt::print("{}\n", machine.name);
  fmt::print("  matrix products    {:8.1f} GFLOP/s on one core, {:.1f} on all\n", machine.core_peak.value / 1e9,
             machine.machine_peak.value / 1e9);
  fmt::print("  memory             {:8.1f} GB/s past {:.1f} MB of caches\n", machine.memory_bandwidth.value / 1e9,
             machine.cache.value / 1e6);
  if (drive_measured) {
    const auto rate = [](const Curve& c) { return c.points().back().x / c.points().back().y / 1e9; };
    fmt::print("  drive              {:8.2f} GB/s reading, {:.2f} writing, {:.2f} times one of them together\n",
               rate(machine.drive.read), rate(machine.drive.write), machine.drive.together);
  }
  fmt::print("  an op on a lane    {:8.2f} us; waking another lane {:.2f} us; a step {:.1f} us\n",
             machine.op_overhead.value * 1e6, machine.wake_latency.value * 1e6, machine.step_overhead.value * 1e6);
  fmt::print("written to {} in {:.0f} s: {} curves, {} products, {} attentions\n", path, seconds,
             machine.families.size() + machine.collectives.size(), machine.matmuls.size(), machine.attentions.size());
}

// Better to know before measuring. Leaves a file that is there as it is.
void check_writable(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    throw Error(ErrorKind::kConfig, path + ": is a folder; give the machine file's own name");
  }
  const std::string probe = path + ".new";
  try {
    save_machine(default_machine(1), probe);
  } catch (const Error& error) {
    throw Error(error.kind(), path + ": the machine file cannot be written; is the folder there and writable?");
  }
  std::remove(probe.c_str());
}

void run(const Options& options) {
  check_writable(options.output);
  if (!options.from.empty()) {
    return calibrate_from({options.from, options.run, options.base, options.output, options.json});
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  CalibrateOptions calibration;
  calibration.cores = options.cores;
  calibration.nvme_folder = options.nvme;
  calibration.progress = [&](const std::string& what) { fmt::print(stderr, "[{:3.0f} s] {}\n", elapsed(), what); };
  const Machine machine = calibrate([](int /*rank*/, int threads) { return make_cpu_backend(threads); }, calibration);
  save_machine(machine, options.output);
  if (!options.json) return print_summary(machine, options.output, elapsed(), !options.nvme.empty());
  const nlohmann::ordered_json out{{"machine", options.output},
                                   {"name", machine.name},
                                   {"cores", machine.cores},
                                   {"core_peak_flop_per_s", machine.core_peak.value},
                                   {"machine_peak_flop_per_s", machine.machine_peak.value},
                                   {"memory_bandwidth_bytes_per_s", machine.memory_bandwidth.value},
                                   {"seconds", elapsed()}};
  fmt::print("{}\n", out.dump());
}

}  // namespace

void add_calibrate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "calibrate",
      "Measure this machine, or fit it to a run, so that predictions are in its own seconds (under a minute).");
  command->add_option("-o,--output", options->output, "Machine file to write")
      ->type_name("machine.json")
      ->capture_default_str();
  auto* from =
      command->add_option("--from", options->from, "Fit to a measured run of this profile, and measure nothing")
          ->type_name("RUN.db");
  command->add_option("--run", options->run, "With --from: name or number of the run; else the last that was measured")
      ->needs(from);
  command->add_option("--base", options->base, "With --from: what the run does not show; else guesses")
      ->type_name("machine.json")
      ->needs(from);
  auto* cores = command->add_option("--cores", options->cores, "Cores that ranks will share; 0: all of this machine")
                    ->check(CLI::Range(0, 65536))
                    ->capture_default_str();
  auto* nvme = command
                   ->add_option("--nvme", options->nvme,
                                "Folder on the drive that swap files will lie on; measured, else guessed")
                   ->type_name("FOLDER");
  from->excludes(cores)->excludes(nvme);
  command->add_flag("--json", options->json,
                    "One JSON object: machine, name, cores, peaks, seconds; with --from fits (docs/simulator.md)");
  command->footer(
      "The machine should be idle meanwhile. The file says where every number comes from (docs/simulator.md).\n"
      "Examples:\n"
      "  shardscope calibrate -o machine.json\n"
      "  shardscope calibrate -o machine.json --nvme /mnt/nvme\n"
      "  shardscope predict job.json --machine machine.json\n"
      "  shardscope train job.json --profile run.db && shardscope calibrate --from run.db -o run.json\n"
      "  shardscope calibrate --from run.db --run zero-2 --base machine.json -o better.json\n");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
