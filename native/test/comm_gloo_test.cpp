// Collectives over Gloo, between threads: sums, roots and parts for any number of ranks, and who is named when one is gone.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "comm/options.h"

namespace relic::comm {
namespace {

#if defined(RELIC_GLOO_PATH)
constexpr const char* kLibrary = RELIC_GLOO_PATH;
#endif

class MemoryStore : public KeyValue {
 public:
  Status set(const std::string& key, const std::vector<uint8_t>& bytes) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    values_[key] = bytes;
    changed_.notify_all();
    return Status::success();
  }
  Status get(const std::string& key, int64_t timeoutMs, std::vector<uint8_t>* bytes) override {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto there = [&] { return values_.count(key) > 0; };
    if (!changed_.wait_for(lock, std::chrono::milliseconds(timeoutMs), there)) {
      return Status::failure("RELIC_RANKS", "nothing came under the key " + key);
    }
    *bytes = values_[key];
    return Status::success();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<uint8_t>> values_;
};

CommOptions optionsOf(int rank, int size, const std::string& library, std::shared_ptr<KeyValue> store, int64_t timeoutMs) {
  CommOptions options;
  options.backend = Backend::gloo;
  options.rank = rank;
  options.size = size;
  options.glooLibrary = library;
  options.address = "127.0.0.1";
  options.timeoutMs = timeoutMs;
  options.store = std::move(store);
  return options;
}

void noLibrary(Checker& check) {
  std::unique_ptr<Comm> comm;
  const auto store = std::make_shared<MemoryStore>();
  const Status missing = openGloo(optionsOf(0, 1, "/does/not/exist.so", store, 1000), &comm);
  check.isTrue("a library that is not there: " + missing.message,
               missing.code == "RELIC_RANKS" && missing.message.find("libgloo-dev") != std::string::npos);
  const Status other = openGloo(optionsOf(0, 1, "libm.so.6", store, 1000), &comm);
  check.isTrue("a library of something else: " + other.message, other.message.find("has no function") != std::string::npos);
  const Status noStore = openGloo(optionsOf(0, 1, "libm.so.6", nullptr, 1000), &comm);
  check.isTrue("no store: " + noStore.message, noStore.code == "RELIC_RANKS");
}

#if defined(RELIC_GLOO_PATH)

// Runs `body` on a thread for each rank; false when one cannot open.
bool onRanks(int size, int64_t timeoutMs, const std::function<void(std::unique_ptr<Comm>)>& body) {
  const auto store = std::make_shared<MemoryStore>();
  std::vector<std::thread> threads;
  std::atomic<int> opened{0};
  for (int rank = 0; rank < size; rank++) {
    threads.emplace_back([&, rank] {
      std::unique_ptr<Comm> comm;
      const Status status = openGloo(optionsOf(rank, size, kLibrary, store, timeoutMs), &comm);
      if (!status.ok()) return;
      opened++;
      body(std::move(comm));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return opened == size;
}

void collectives(Checker& check, int size) {
  std::mutex mutex;
  const std::string name = "Gloo, " + std::to_string(size) + " ranks: ";
  std::vector<std::vector<float>> sums(static_cast<size_t>(size));
  const bool opened = onRanks(size, 60000, [&](std::unique_ptr<Comm> comm) {
    const int rank = comm->rank();
    bool exact = true, broadcasts = true, gathers = true;
    for (const int64_t count : {0, 1, 2, 3, 7, 1000, 300001}) {
      std::vector<float> data;
      for (int64_t i = 0; i < count; i++) data.push_back(static_cast<float>((i + rank) % 1000));
      exact = exact && comm->allReduceSum(data.data(), count).ok();
      for (int64_t i = 0; exact && i < count; i++) {
        float expected = 0;
        for (int each = 0; each < size; each++) expected += static_cast<float>((i + each) % 1000);
        exact = data[static_cast<size_t>(i)] == expected;
      }
    }
    for (int root = 0; root < size; root++) {
      std::vector<int> data(5000, rank == root ? root + 7 : -1);
      broadcasts = broadcasts && comm->broadcast(data.data(), data.size() * sizeof(int), root).ok();
      for (const int value : data) broadcasts = broadcasts && value == root + 7;
    }
    std::vector<int> all(static_cast<size_t>(size), -1);
    gathers = comm->allGather(&rank, sizeof(int), all.data()).ok();
    for (int each = 0; each < size; each++) gathers = gathers && all[static_cast<size_t>(each)] == each;
    Random random(static_cast<uint64_t>(rank + 1));
    std::vector<float> noise = random.values(30001);
    const bool summed = comm->allReduceSum(noise.data(), 30001).ok();
    const std::lock_guard<std::mutex> lock(mutex);
    check.isTrue(name + "sums are exact", exact && summed);
    check.isTrue(name + "broadcasts", broadcasts);
    check.isTrue(name + "gathers", gathers);
    sums[static_cast<size_t>(rank)] = noise;
  });
  check.isTrue(name + "open", opened);
  for (const auto& sum : sums) {
    const bool same = sum.size() == sums[0].size() && std::memcmp(sum.data(), sums[0].data(), sum.size() * sizeof(float)) == 0;
    check.isTrue(name + "the same bytes on each", !sum.empty() && same);
  }
}

// Rank 1 of 2 is gone, or does not come, or the call is cancelled.
void failures(Checker& check) {
  enum class End { gone, hung, cancelled };
  for (const End end : {End::gone, End::hung, End::cancelled}) {
    Status status;
    std::mutex mutex;
    std::condition_variable changed;
    bool over = false;
    onRanks(2, end == End::cancelled ? 60000 : 1000, [&](std::unique_ptr<Comm> comm) {
      if (comm->rank() == 1) {
        if (end == End::gone) return;
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return over; });
        return;
      }
      std::thread canceller([&] {
        if (end != End::cancelled) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        comm->cancel();
      });
      std::vector<float> data(100000, 1);
      Status first = comm->allReduceSum(data.data(), 100000);
      canceller.join();
      const std::lock_guard<std::mutex> lock(mutex);
      status = first;
      over = true;
      changed.notify_all();
    });
    check.isTrue("a rank that does not answer: " + status.message, status.code == "RELIC_RANKS");
    const char* word = end == End::cancelled ? "cancelled" : "rank 1";
    check.isTrue("is named: " + status.message, status.message.find(word) != std::string::npos);
  }
}

void absentRank(Checker& check) {
  std::unique_ptr<Comm> comm;
  const Status status = openGloo(optionsOf(0, 2, kLibrary, std::make_shared<MemoryStore>(), 300), &comm);
  check.isTrue("a rank that never comes: " + status.message,
               status.code == "RELIC_RANKS" && status.message.find("nothing came under the key") != std::string::npos);
}

#endif

}  // namespace
}  // namespace relic::comm

int main() {
  relic::Checker check;
  relic::comm::noLibrary(check);
#if defined(RELIC_GLOO_PATH)
  for (int size = 1; size <= 6; size++) relic::comm::collectives(check, size);
  relic::comm::failures(check);
  relic::comm::absentRank(check);
#endif
  return check.finish();
}
