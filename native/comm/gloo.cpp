// Ranks over Gloo: librelic_gloo.so (relic_gloo.h), opened when it is asked for.
#include <dlfcn.h>

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "comm/options.h"
#include "comm/progress.h"
#include "comm/relic_gloo.h"

namespace relic::comm {
namespace {

constexpr const char* kDescription = "Gloo over TCP, halving and doubling";

// Every function of the interface, as a member of its own name without the prefix.
#define RELIC_GLOO_FUNCTIONS(visit) \
  visit(abi_version)                \
  visit(last_error)                 \
  visit(open)                       \
  visit(all_reduce_sum)             \
  visit(broadcast)                  \
  visit(all_gather)                 \
  visit(cancel)                     \
  visit(close)

struct Library {
#define RELIC_MEMBER(name) decltype(&relic_gloo_##name) name;
  RELIC_GLOO_FUNCTIONS(RELIC_MEMBER)
#undef RELIC_MEMBER

  Status status(int32_t result) const {
    if (result == 0) return Status::success();
    return Status::failure("RELIC_RANKS", std::string("communication between ranks over Gloo failed: ") + last_error());
  }
};

// It stays open: its threads do not survive being unloaded.
Status load(const std::string& path, Library* out) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    return Status::failure("RELIC_RANKS", "Gloo cannot be used: " +
                                              (why == nullptr ? path + " cannot be opened" : std::string(why)) +
                                              "\n  fix: install libgloo-dev and build again, or start with mpirun");
  }
  const char* missing = nullptr;
#define RELIC_RESOLVE(name)                                                                       \
  out->name = reinterpret_cast<decltype(&relic_gloo_##name)>(dlsym(handle, "relic_gloo_" #name)); \
  if (out->name == nullptr) missing = "relic_gloo_" #name;
  RELIC_GLOO_FUNCTIONS(RELIC_RESOLVE)
#undef RELIC_RESOLVE
  if (missing != nullptr) return Status::failure("RELIC_RANKS", path + ": it has no function " + missing);
  const int32_t version = out->abi_version();
  if (version == RELIC_GLOO_ABI_VERSION) return Status::success();
  return Status::failure("RELIC_RANKS", path + ": expected interface version " +
                                            std::to_string(RELIC_GLOO_ABI_VERSION) + ", received " +
                                            std::to_string(version) + "; build both anew");
}

class GlooComm : public Comm {
 public:
  GlooComm(const Library& library, const CommOptions& options)
      : library_(library), rank_(options.rank), size_(options.size), description_(kDescription) {}
  ~GlooComm() override {
    if (gloo_ != nullptr) library_.close(gloo_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& description() const override { return description_; }

  Status open(const CommOptions& options) {
    // The key under which a rank was missing says more than Gloo does.
    Opening opening{options.store.get(), Status::success()};
    const RelicGlooStore store = {&opening, set, get};
    const RelicGlooOptions call = {rank_, size_, options.address.c_str(), options.timeoutMs, store};
    Status status = library_.status(library_.open(&call, &gloo_));
    if (!opening.failure.ok()) status.message += "\n  " + opening.failure.message;
    return status;
  }

  Status allReduceSum(float* data, int64_t count) override {
    const InCollective mark("Gloo all-reduce");
    return library_.status(library_.all_reduce_sum(gloo_, data, count));
  }
  Status broadcast(void* data, size_t bytes, int root) override {
    const InCollective mark("Gloo broadcast");
    return library_.status(library_.broadcast(gloo_, data, bytes, root));
  }
  Status allGather(const void* in, size_t bytes, void* out) override {
    const InCollective mark("Gloo all-gather");
    return library_.status(library_.all_gather(gloo_, in, bytes, out));
  }

  void cancel() override { library_.cancel(gloo_); }

 private:
  struct Opening {
    KeyValue* store;
    Status failure;
  };

  static std::string keyOf(const char* key) { return std::string("gloo/") + key; }

  static int32_t set(void* context, const char* key, const void* bytes, size_t count) {
    auto& opening = *static_cast<Opening*>(context);
    const auto* from = static_cast<const uint8_t*>(bytes);
    opening.failure = opening.store->set(keyOf(key), {from, from + count});
    return opening.failure.ok() ? 0 : 1;
  }

  static int32_t get(void* context, const char* key, int64_t timeoutMs, void* taker,
                     void (*take)(void*, const void*, size_t)) {
    auto& opening = *static_cast<Opening*>(context);
    std::vector<uint8_t> bytes;
    opening.failure = opening.store->get(keyOf(key), timeoutMs, &bytes);
    if (!opening.failure.ok()) return 1;
    take(taker, bytes.data(), bytes.size());
    return 0;
  }

  const Library library_;
  const int rank_, size_;
  const std::string description_;
  RelicGloo* gloo_ = nullptr;
};

}  // namespace

Status openGloo(const CommOptions& options, std::unique_ptr<Comm>* out) {
  if (options.store == nullptr) {
    return Status::failure("RELIC_RANKS", "Gloo: expected a store in which ranks find each other, received none");
  }
  Library library{};
  if (Status status = load(options.glooLibrary, &library); !status.ok()) return status;
  auto comm = std::make_unique<GlooComm>(library, options);
  if (Status status = comm->open(options); !status.ok()) return status;
  *out = std::move(comm);
  return Status::success();
}

}  // namespace relic::comm
