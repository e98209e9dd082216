#include "simulator/analytic/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr double kMore = 1.1;      // +10 %
constexpr double kNothing = 1e-9;  // of a step: what rounding leaves

template <class Q>
void multiply(Q& rate, double factor) {
  rate = rate * factor;
}

constexpr std::array<HardwareKnob, 6> kKnobs{{
    {"NIC", "what crosses NICs, if anything does, takes no longer there than over NVLink, or hides",
     [](Target& t, double f) { multiply(t.system.nic_bandwidth, f), multiply(t.fabric.bandwidth, f); }},
    {"NVLink", "nothing that is waited for goes over scale-up links",
     [](Target& t, double f) { multiply(t.gpu.scale_up.bandwidth, f); }},
    {"memory bandwidth", "no kernel is bound by memory",
     [](Target& t, double f) { multiply(t.gpu.memory_bandwidth, f); }},
    {"peak FLOP/s", "no kernel is bound by arithmetic",
     [](Target& t, double f) {
       for (FlopPerSecond& peak : t.gpu.peak) multiply(peak, f);
       multiply(t.gpu.vector_fp32, f);
     }},
    {"PCIe", "nothing that is waited for goes to the host",
     [](Target& t, double f) { multiply(t.gpu.pcie.bandwidth, f); }},
    {"host memory bandwidth", "the host updates nothing",
     [](Target& t, double f) { multiply(t.system.host_memory_bandwidth, f); }},
}};

/// The framework's time on the host for kernels and collectives.
Constants with_faster_host(Constants table) {
  for (Constant& c : table) {
    const bool host = c.name == "host_us" || c.name == "pipeline_rank_us";
    if (c.scope == "framework" && host) c.value /= kMore;
  }
  return table;
}

class Sensitivities {
 public:
  Sensitivities(const Workload& w, const Target& t, const FrameworkSpec& f, const Plan& p, const Constants& constants)
      : workload_(w), target_(t), framework_(f), plan_(p), constants_(constants) {
    base_ = step(target_, plan_, constants_);
    if (base_ > 0 && std::isfinite(base_)) return;
    throw Error(ErrorKind::kConfig,
                fmt::format("{} on {}: a step comes out as {} s; a rate of the hardware must be missing or wrong",
                            w.model.name, t.system.name, base_));
  }

  std::vector<Sensitivity> run() {
    for (const HardwareKnob& knob : hardware_knobs()) {
      Target better = target_;
      knob.scale(better, kMore);
      add(fmt::format("+10 % {}", knob.name), step(better, plan_, constants_), knob.idle);
    }
    add("+10 % host speed", step(target_, plan_, with_faster_host(constants_)), "launches hide behind kernels");
    check_not_all_idle();
    add_micro_batch();
    return std::move(found_);
  }

 private:
  double step(const Target& target, const Plan& plan, const Constants& constants) const {
    return Estimator(workload_, target, framework_, constants).estimate(plan).step_time_s;
  }

  void add(std::string name, double seconds, std::string_view idle) {
    const double change = seconds / base_ - 1;
    const bool nothing = std::abs(change) < kNothing;
    found_.push_back({std::move(name), nothing ? 0 : change, std::string(nothing ? idle : std::string_view())});
  }

  void check_not_all_idle() const {
    const bool any = std::any_of(found_.begin(), found_.end(), [](const Sensitivity& s) { return s.change != 0; });
    if (any) return;
    throw Error(ErrorKind::kConfig,
                fmt::format("{} on {}: neither faster devices, links nor hosts would change the step of {:.3g} s; its "
                            "rates must be wrong by orders of magnitude",
                            workload_.model.name, target_.system.name, base_));
  }

  void add_micro_batch() {
    Plan larger = plan_;
    larger.micro_batch *= 2;
    Sensitivity s{.name = "micro-batch x 2", .change = 0, .why = find_plan_problem(workload_, target_, larger)};
    s.legal = s.why.empty();
    if (s.legal) {
      const Estimate e = Estimator(workload_, target_, framework_, constants_).estimate(larger);
      s.change = e.step_time_s / base_ - 1;
      if (!e.fits)
        s.why = fmt::format("would not fit: {:.1f} of {:.1f} GB", e.used / 1e9, target_.gpu.memory.value / 1e9);
    }
    found_.push_back(std::move(s));
  }

  const Workload& workload_;
  const Target& target_;
  const FrameworkSpec& framework_;
  const Plan& plan_;
  const Constants& constants_;
  double base_ = 0;
  std::vector<Sensitivity> found_;
};

}  // namespace

std::span<const HardwareKnob> hardware_knobs() { return kKnobs; }

std::vector<Sensitivity> find_sensitivities(const Workload& workload, const Target& target,
                                            const FrameworkSpec& framework, const Plan& plan,
                                            const Constants& constants) {
  return Sensitivities(workload, target, framework, plan, constants).run();
}

}  // namespace shardscope
