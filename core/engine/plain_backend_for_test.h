#pragma once
// A backend for the engine's own tests: lanes are real threads, kernels are plain loops over the few ops that the tests
// use. core must not depend on kernels/, and a test of the executor wants ops that are obviously right.

#include <array>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>

#include "core/engine/backend.h"
#include "core/error.h"

namespace shardscope {

class PlainBackend : public Backend {
 public:
  PlainBackend() {
    for (Worker& worker : workers_) worker.thread = std::thread([this, &worker] { work(worker); });
  }
  ~PlainBackend() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (Worker& worker : workers_) worker.thread.join();
  }

  std::string_view name() const override { return "plain"; }
  bool supports(const Program& program, const Op& op) const override {
    bool f32 = true;
    for_each_access(op,
                    [&](const char*, const Region& r, Access) { f32 &= program.buffer(r.buffer).dtype != DType::kI8; });
    return f32 && std::visit(
                      []<class T>(const T&) {
                        return std::is_same_v<T, Fill> || std::is_same_v<T, Copy> || std::is_same_v<T, Accumulate> ||
                               std::is_same_v<T, Scale> || std::is_same_v<T, Embedding> ||
                               std::is_same_v<T, EmbeddingBackward> || std::is_same_v<T, CrossEntropy> ||
                               std::is_same_v<T, SumSquares> || std::is_same_v<T, ClipCoefficient> ||
                               std::is_same_v<T, Adam>;
                      },
                      op);
  }
  std::byte* allocate(Space, std::int64_t bytes) override {
    allocated += bytes;
    auto* data = static_cast<std::byte*>(std::aligned_alloc(64, static_cast<std::size_t>((bytes + 63) / 64 * 64)));
    std::memset(data, 0, static_cast<std::size_t>(bytes));
    return data;
  }
  void release(Space, std::byte* data, std::int64_t bytes) override {
    allocated -= bytes;
    std::free(data);
  }
  void run(const Op& op, const Memory& memory, const StepScalars& scalars, Lane lane) override {
    call(lane, [&op, &memory, &scalars] { run_plain(op, memory, scalars); });
  }
  void call(Lane lane, std::function<void()> work) override { push(lane, {.work = std::move(work)}); }
  std::int64_t record(Lane lane) override {
    push(lane, {.is_point = true});
    return ++worker(lane).points_pushed;
  }
  void wait(Lane lane, Lane other, std::int64_t point) override {
    ++waits;
    push(lane, {.wait_for = &worker(other), .point = point});
  }
  void on_failure(std::function<void(const std::exception_ptr&)> notify) override { notify_ = std::move(notify); }
  void synchronize() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] {
      for (const Worker& w : workers_) {
        if (!w.queue.empty()) return false;
      }
      return true;
    });
    if (failure_) std::rethrow_exception(failure_);
  }

  std::int64_t allocated = 0;  ///< bytes out at the moment
  int waits = 0;               ///< cross-lane waits enqueued so far

 private:
  struct Worker;
  struct Item {
    std::function<void()> work;
    Worker* wait_for = nullptr;
    std::int64_t point = 0;
    bool is_point = false;
  };
  struct Worker {
    std::deque<Item> queue;  // the front is under way
    std::int64_t points_pushed = 0, points_passed = 0;
    std::thread thread;
  };

  Worker& worker(Lane lane) { return workers_[static_cast<std::size_t>(lane)]; }
  void push(Lane lane, Item item) {
    {
      const std::lock_guard lock(mutex_);
      worker(lane).queue.push_back(std::move(item));
    }
    changed_.notify_all();
  }

  void work(Worker& self) {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || !self.queue.empty(); });
      if (self.queue.empty()) return;
      const Item& item = self.queue.front();
      if (item.wait_for != nullptr) changed_.wait(lock, [&] { return item.wait_for->points_passed >= item.point; });
      if (item.is_point) ++self.points_passed;
      if (item.work && !failure_) {
        lock.unlock();
        std::exception_ptr error;
        try {
          item.work();
        } catch (...) {
          error = std::current_exception();
        }
        if (error && notify_) notify_(error);
        lock.lock();
        if (error && !failure_) failure_ = error;
      }
      self.queue.pop_front();
      changed_.notify_all();
    }
  }

  static void run_plain(const Op& op, const Memory& m, const StepScalars& scalars);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Worker, kLanes> workers_;
  std::exception_ptr failure_;
  std::function<void(const std::exception_ptr&)> notify_;
  bool stopping_ = false;
};

// fp32 loops; each is the definition of its op in core/program/ops.h.
inline void PlainBackend::run_plain(const Op& op, const Memory& m, const StepScalars& scalars) {
  std::visit(
      Overloaded{
          [&](const Fill& o) {
            if (m.dtype(o.dst) == DType::kF64) std::fill_n(m.as<double>(o.dst), o.dst.count, o.value);
            if (m.dtype(o.dst) == DType::kF32)
              std::fill_n(m.as<float>(o.dst), o.dst.count, static_cast<float>(o.value));
          },
          [&](const Copy& o) {
            std::memmove(m.at(o.dst), m.at(o.src), static_cast<std::size_t>(m.program->bytes(o.src)));
          },
          [&](const Accumulate& o) {
            for (std::int64_t i = 0; i < o.dst.count; ++i) m.as<float>(o.dst)[i] += m.as<float>(o.src)[i];
          },
          [&](const Scale& o) {
            for (std::int64_t i = 0; i < o.data.count; ++i) m.as<float>(o.data)[i] *= static_cast<float>(o.factor);
          },
          [&](const Embedding& o) {
            for (std::int64_t r = 0; r < o.rows; ++r) {
              std::copy_n(m.as<float>(o.table) + m.as<std::int32_t>(o.tokens)[r] * o.hidden, o.hidden,
                          m.as<float>(o.out) + r * o.hidden);
            }
          },
          [&](const EmbeddingBackward& o) {
            for (std::int64_t i = 0; i < o.rows * o.hidden; ++i) {
              const std::int64_t row = m.as<std::int32_t>(o.tokens)[i / o.hidden];
              m.as<float>(o.d_table)[row * o.hidden + i % o.hidden] += m.as<float>(o.d_out)[i];
            }
          },
          [&](const CrossEntropy& o) {
            for (std::int64_t r = 0; r < o.rows; ++r) {
              float* x = m.as<float>(o.logits) + r * o.vocab;
              const std::int32_t target = m.as<std::int32_t>(o.targets)[r];
              double sum = 0;
              for (std::int64_t j = 0; j < o.vocab; ++j) sum += std::exp(static_cast<double>(x[j]));
              *m.as<float>(o.loss) += static_cast<float>(o.scale * (std::log(sum) - static_cast<double>(x[target])));
              for (std::int64_t j = 0; j < o.vocab; ++j) {
                const double p = std::exp(static_cast<double>(x[j])) / sum;
                x[j] = static_cast<float>(o.scale * (p - (j == target ? 1 : 0)));
              }
            }
          },
          [&](const SumSquares& o) {
            for (std::int64_t i = 0; i < o.x.count; ++i) {
              *m.as<double>(o.sum) += static_cast<double>(m.as<float>(o.x)[i]) * m.as<float>(o.x)[i];
            }
          },
          [&](const ClipCoefficient& o) {
            const double norm = std::sqrt(*m.as<double>(o.sum));
            *m.as<float>(o.norm) = static_cast<float>(norm);
            *m.as<float>(o.coefficient) =
                o.max_norm == 0 ? 1.0F : static_cast<float>(std::min(1.0, o.max_norm / (norm + 1e-6)));
          },
          [&](const Adam& o) {
            const auto t = static_cast<double>(scalars.applied_steps);
            const double clip = o.coefficient.empty() ? 1 : static_cast<double>(*m.as<float>(o.coefficient));
            for (std::int64_t i = 0; i < o.param.count; ++i) {
              const double g = m.as<float>(o.grad)[i] * clip;
              float& mean = m.as<float>(o.exp_avg)[i];
              float& square = m.as<float>(o.exp_avg_sq)[i];
              mean = static_cast<float>(o.beta1 * mean + (1 - o.beta1) * g);
              square = static_cast<float>(o.beta2 * square + (1 - o.beta2) * g * g);
              const double mean_hat = mean / (1 - std::pow(o.beta1, t));
              const double square_hat = square / (1 - std::pow(o.beta2, t));
              m.as<float>(o.param)[i] -=
                  static_cast<float>(scalars.learning_rate * mean_hat / (std::sqrt(square_hat) + o.eps));
            }
          },
          [](const auto& o) {
            throw Error(ErrorKind::kUnsupported, std::string("plain backend: no ") + std::decay_t<decltype(o)>::kName);
          },
      },
      op);
}

}  // namespace shardscope
