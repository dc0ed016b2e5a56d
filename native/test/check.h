// A checker for plain test programs: counts, and NaN fails before any tolerance is looked at.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <vector>

namespace relic {

class Checker {
 public:
  // |actual - expected| <= absolute + relative * |expected|, for every element.
  void close(const std::string& name, const std::vector<float>& actual, const std::vector<double>& expected,
             double absolute, double relative = 0) {
    if (actual.size() != expected.size()) return report(name, false, "sizes differ");
    for (size_t i = 0; i < actual.size(); i++) {
      const double error = std::fabs(actual[i] - expected[i]);
      if (error <= absolute + relative * std::fabs(expected[i])) continue;
      char text[160];
      std::snprintf(text, sizeof(text), "element %zu of %zu is %.9g, expected %.9g", i, actual.size(),
                    static_cast<double>(actual[i]), expected[i]);
      return report(name, false, text);
    }
    report(name, true, "");
  }

  void isTrue(const std::string& name, bool condition) { report(name, condition, "is false"); }

  // Prints the counts; the exit code of the program.
  int finish() const {
    std::printf("%d passed, %d failed\n", passed_, failed_);
    return failed_ == 0 && passed_ > 0 ? 0 : 1;
  }

 private:
  void report(const std::string& name, bool good, const std::string& text) {
    if (good) {
      passed_++;
      return;
    }
    failed_++;
    std::printf("FAIL %s: %s\n", name.c_str(), text.c_str());
  }

  int passed_ = 0;
  int failed_ = 0;
};

// " 3x4x5", to name a case.
inline std::string dims(std::initializer_list<int64_t> sizes) {
  std::string text;
  for (const int64_t size : sizes) {
    text += text.empty() ? ' ' : 'x';
    text += std::to_string(size);
  }
  return text;
}

// Values that repeat from run to run, roughly uniform in [-range, range).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2654435769u + 1) {}
  float next(float range) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return range * (static_cast<float>(state_ >> 40) / 8388608.0f - 1.0f);
  }
  std::vector<float> values(int64_t count, float range = 1.0f) {
    std::vector<float> out(static_cast<size_t>(count));
    for (float& value : out) value = next(range);
    return out;
  }

 private:
  uint64_t state_;
};

}  // namespace relic
