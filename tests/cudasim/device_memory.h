#pragma once
// Device memory of a test, as a value; and what the emulation reported, if it is there.
//
//   DeviceArray<float> x(std::vector<float>{1, 2});
//   scale(x.data(), 2, 2, nullptr);
//   EXPECT_THAT(x.get(), ElementsAre(2, 4));

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace cudasim_test {

inline void check(cudaError_t code) { ASSERT_EQ(code, cudaSuccess) << cudaGetErrorString(code); }

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    check(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> get() const {
    std::vector<T> out(count_);
    check(cudaMemcpy(out.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return out;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

inline std::vector<float> random_floats(size_t count, unsigned seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

/// Entry points of the emulation for tests; null on a real device.
template <class F>
F* emulation(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_DEFAULT, name));
}
inline bool emulated() { return emulation<int()>("cudasim_report_count") != nullptr; }
inline std::string reports() {
  std::string out;
  for (int i = 0; i < emulation<int()>("cudasim_report_count")(); ++i)
    out += std::string(emulation<const char*(int)>("cudasim_report")(i)) + "\n";
  return out;
}
inline void forget() { emulation<void()>("cudasim_forget")(); }
inline void set_seed(unsigned seed) { emulation<void(unsigned)>("cudasim_set_seed")(seed); }

}  // namespace cudasim_test
