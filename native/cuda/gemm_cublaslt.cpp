// Matrix products by cuBLASLt. It thinks in columns, so a row-major c = a b is asked for as c^T = b^T a^T.
#include <dlfcn.h>

#include <map>
#include <tuple>

#include "cuda/checked.h"
#include "cuda/cublaslt_api.h"
#include "cuda/gemm.h"

namespace relic::cuda {
namespace {

namespace lt = cublaslt;

// What NVIDIA advises for Hopper.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
// CUDA 12.0; older ones number some of the attributes otherwise.
constexpr size_t kLeastVersion = 120000;
constexpr int kAlternatives = 8;
constexpr uint32_t kWideAlignment = 16;

template <typename Function>
bool resolve(void* library, const char* name, Function* out) {
  *out = reinterpret_cast<Function>(dlsym(library, name));
  return *out != nullptr;
}

bool resolveAll(void* library, lt::Functions* f) {
  return resolve(library, "cublasLtGetVersion", &f->getVersion) &&
         resolve(library, "cublasLtGetStatusString", &f->getStatusString) &&
         resolve(library, "cublasLtCreate", &f->create) && resolve(library, "cublasLtDestroy", &f->destroy) &&
         resolve(library, "cublasLtMatmulDescCreate", &f->matmulDescCreate) &&
         resolve(library, "cublasLtMatmulDescDestroy", &f->matmulDescDestroy) &&
         resolve(library, "cublasLtMatmulDescSetAttribute", &f->matmulDescSetAttribute) &&
         resolve(library, "cublasLtMatrixLayoutCreate", &f->matrixLayoutCreate) &&
         resolve(library, "cublasLtMatrixLayoutDestroy", &f->matrixLayoutDestroy) &&
         resolve(library, "cublasLtMatmulPreferenceCreate", &f->matmulPreferenceCreate) &&
         resolve(library, "cublasLtMatmulPreferenceDestroy", &f->matmulPreferenceDestroy) &&
         resolve(library, "cublasLtMatmulPreferenceSetAttribute", &f->matmulPreferenceSetAttribute) &&
         resolve(library, "cublasLtMatmulAlgoGetHeuristic", &f->matmulAlgoGetHeuristic) &&
         resolve(library, "cublasLtMatmulAlgoCheck", &f->matmulAlgoCheck) &&
         resolve(library, "cublasLtMatmul", &f->matmul);
}

int32_t typeOf(Format format) {
  if (format == Format::float32) return lt::kFloat32;
  return format == Format::bfloat16 ? lt::kBfloat16 : lt::kFloat16;
}

// Bytes that the address is a multiple of, as far as plans care.
uint32_t alignmentOf(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  uint32_t alignment = kWideAlignment;
  while (address % alignment != 0) alignment /= 2;
  return alignment;
}

// Layouts of b, a and c, freed together.
class Layouts {
 public:
  explicit Layouts(const lt::Functions& f) : f_(f) {}
  ~Layouts() {
    for (lt::MatrixLayout each : at_) {
      if (each != nullptr) f_.matrixLayoutDestroy(each);
    }
  }
  Layouts(const Layouts&) = delete;
  Layouts& operator=(const Layouts&) = delete;

  lt::Status make(const Product& p, int64_t m, int64_t n, int64_t k) {
    const int32_t type = typeOf(p.operands);
    lt::Status status = create(0, type, p.b.transposed ? k : n, p.b.transposed ? n : k, p.b.ld);
    if (status == lt::kSuccess) status = create(1, type, p.a.transposed ? m : k, p.a.transposed ? k : m, p.a.ld);
    if (status == lt::kSuccess) status = create(2, typeOf(p.c.format), n, m, n);
    return status;
  }
  lt::MatrixLayout b() const { return at_[0]; }
  lt::MatrixLayout a() const { return at_[1]; }
  lt::MatrixLayout c() const { return at_[2]; }

 private:
  lt::Status create(int i, int32_t type, int64_t rows, int64_t cols, int64_t ld) {
    return f_.matrixLayoutCreate(&at_[i], type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), ld);
  }

  const lt::Functions& f_;
  lt::MatrixLayout at_[3] = {};
};

class CublasLt : public Gemm {
 public:
  CublasLt(const lt::Functions& functions, lt::Handle handle) : f_(functions), handle_(handle) {}
  ~CublasLt() override {
    for (const auto& [key, plan] : plans_) f_.matmulDescDestroy(plan.desc);
    f_.destroy(handle_);
  }
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  Status prepare() { return workspace_.fit(kWorkspaceBytes, "the workspace of matrix products"); }
  Status multiply(Context& context, const Product& product) override;
  std::string describe() const override { return "cuBLASLt " + std::to_string(f_.getVersion()); }
  size_t bytes() const override { return workspace_.bytes(); }

 private:
  // m, n, k, the formats, what is transposed, bias, alignments: all that a plan depends on.
  using Key = std::tuple<int64_t, int64_t, int64_t, int, int, int, uint32_t>;
  struct Plan {
    lt::MatmulDesc desc;
    lt::Algorithm algorithm;
  };

  static Key keyOf(const Product& p) {
    const int shape = (p.a.transposed ? 1 : 0) + (p.b.transposed ? 2 : 0) + (p.bias.isNull() ? 0 : 4);
    const uint32_t alignments = alignmentOf(p.b.data) + 32 * alignmentOf(p.a.data) + 1024 * alignmentOf(p.c.data);
    return {planSize(p.m), planSize(p.n),           planSize(p.k), static_cast<int>(p.operands),
            static_cast<int>(p.c.format), shape, alignments};
  }

  Status planFor(const Product& product, Plan** plan);
  lt::Status describeProduct(const Product& product, lt::MatmulDesc* desc) const;
  // The best algorithm for a product of these sizes; false when there is none.
  lt::Status choose(const Product& product, int64_t m, int64_t n, int64_t k, lt::MatmulDesc desc,
                    lt::Algorithm* algorithm) const;
  Status failed(lt::Status status, const char* call, int line, const Product& p) const {
    return Status::failure("RELIC_DEVICE_FAILED",
                           std::string("cuBLASLt failed: ") + f_.getStatusString(status) + " from " + call +
                               " for a product of " + std::to_string(p.m) + " x " + std::to_string(p.n) + " x " +
                               std::to_string(p.k) + " on " + deviceName() + " at native/cuda/gemm_cublaslt.cpp:" +
                               std::to_string(line) +
                               "\n  fix: run again from the last checkpoint; another version of cuBLASLt, by "
                               "RELIC_CUBLASLT");
  }

  const lt::Functions f_;
  lt::Handle handle_;
  Buffer workspace_;
  std::map<Key, Plan> plans_;
};

lt::Status CublasLt::describeProduct(const Product& p, lt::MatmulDesc* desc) const {
  lt::Status status = f_.matmulDescCreate(desc, lt::kCompute32F, lt::kFloat32);
  if (status != lt::kSuccess) return status;
  const int32_t first = p.b.transposed ? lt::kTransposed : lt::kNormal;
  const int32_t second = p.a.transposed ? lt::kTransposed : lt::kNormal;
  status = f_.matmulDescSetAttribute(*desc, lt::kDescTransA, &first, sizeof first);
  if (status == lt::kSuccess) status = f_.matmulDescSetAttribute(*desc, lt::kDescTransB, &second, sizeof second);
  if (status == lt::kSuccess && !p.bias.isNull()) {
    status = f_.matmulDescSetAttribute(*desc, lt::kDescEpilogue, &lt::kEpilogueBias, sizeof lt::kEpilogueBias);
    if (status == lt::kSuccess) {
      status = f_.matmulDescSetAttribute(*desc, lt::kDescBiasPointer, &p.bias.data, sizeof p.bias.data);
    }
  }
  if (status != lt::kSuccess) f_.matmulDescDestroy(*desc);
  return status;
}

lt::Status CublasLt::choose(const Product& p, int64_t m, int64_t n, int64_t k, lt::MatmulDesc desc,
                            lt::Algorithm* algorithm) const {
  Layouts layouts(f_);
  if (const lt::Status status = layouts.make(p, m, n, k); status != lt::kSuccess) return status;
  lt::Preference preference = nullptr;
  if (const lt::Status status = f_.matmulPreferenceCreate(&preference); status != lt::kSuccess) return status;
  const auto set = [&](int32_t attribute, const auto& value) {
    return f_.matmulPreferenceSetAttribute(preference, attribute, &value, sizeof value);
  };
  // cuBLASLt's A, B, C and D are b, a, c and c.
  const uint32_t alignments[] = {alignmentOf(p.b.data), alignmentOf(p.a.data), alignmentOf(p.c.data),
                                 alignmentOf(p.c.data)};
  lt::Status status = set(lt::kPreferWorkspaceBytes, kWorkspaceBytes);
  if (status == lt::kSuccess) status = set(lt::kPreferReductionSchemes, lt::kReductionInWorkspace);
  for (int i = 0; i < 4 && status == lt::kSuccess; i++) status = set(lt::kPreferAlignmentA + i, alignments[i]);
  lt::HeuristicResult results[kAlternatives];
  int32_t found = 0;
  if (status == lt::kSuccess) {
    status = f_.matmulAlgoGetHeuristic(handle_, desc, layouts.b(), layouts.a(), layouts.c(), layouts.c(), preference,
                                       kAlternatives, results, &found);
  }
  f_.matmulPreferenceDestroy(preference);
  if (status != lt::kSuccess) return status;
  for (int32_t i = 0; i < found; i++) {
    if (results[i].state != lt::kSuccess) continue;
    *algorithm = results[i].algorithm;
    return lt::kSuccess;
  }
  constexpr lt::Status kNotSupported = 15;
  return kNotSupported;
}

Status CublasLt::planFor(const Product& product, Plan** out) {
  const Key key = keyOf(product);
  auto found = plans_.find(key);
  if (found == plans_.end()) {
    Plan plan{};
    if (const lt::Status status = describeProduct(product, &plan.desc); status != lt::kSuccess) {
      return failed(status, "cublasLtMatmulDescSetAttribute", __LINE__, product);
    }
    // For the sizes of the key, not of this product: the choice must not depend on which batch came first.
    const auto [m, n, k, operands, result, shape, alignments] = key;
    Product sized = product;
    sized.a.ld += (product.a.transposed ? m - product.m : k - product.k);
    sized.b.ld += (product.b.transposed ? k - product.k : n - product.n);
    lt::Status status = choose(sized, m, n, k, plan.desc, &plan.algorithm);
    if (status != lt::kSuccess) {
      f_.matmulDescDestroy(plan.desc);
      return failed(status, "cublasLtMatmulAlgoGetHeuristic", __LINE__, product);
    }
    found = plans_.emplace(key, plan).first;
  }
  *out = &found->second;
  return Status::success();
}

Status CublasLt::multiply(Context& context, const Product& p) {
  if (p.m * p.n == 0) return Status::success();
  Plan* plan = nullptr;
  RELIC_TRY(planFor(p, &plan));
  if (!p.bias.isNull()) {
    const lt::Status status =
        f_.matmulDescSetAttribute(plan->desc, lt::kDescBiasPointer, &p.bias.data, sizeof p.bias.data);
    if (status != lt::kSuccess) return failed(status, "cublasLtMatmulDescSetAttribute", __LINE__, p);
  }
  Layouts layouts(f_);
  if (const lt::Status status = layouts.make(p, p.m, p.n, p.k); status != lt::kSuccess) {
    return failed(status, "cublasLtMatrixLayoutCreate", __LINE__, p);
  }
  lt::Algorithm algorithm = plan->algorithm;
  lt::HeuristicResult checked;
  const bool fits = f_.matmulAlgoCheck(handle_, plan->desc, layouts.b(), layouts.a(), layouts.c(), layouts.c(),
                                       &algorithm, &checked) == lt::kSuccess &&
                    checked.workspaceBytes <= kWorkspaceBytes;
  if (!fits) {
    const lt::Status status = choose(p, p.m, p.n, p.k, plan->desc, &algorithm);
    if (status != lt::kSuccess) return failed(status, "cublasLtMatmulAlgoGetHeuristic", __LINE__, p);
  }
  const float one = 1, factor = p.accumulate ? 1.0f : 0.0f;
  const lt::Status status =
      f_.matmul(handle_, plan->desc, &one, p.b.data, layouts.b(), p.a.data, layouts.a(), &factor, p.c.data,
                layouts.c(), p.c.data, layouts.c(), &algorithm, workspace_.as<void>(), kWorkspaceBytes,
                context.stream());
  return status == lt::kSuccess ? Status::success() : failed(status, "cublasLtMatmul", __LINE__, p);
}

Status tryOpen(const std::string& path, std::unique_ptr<CublasLt>* out, std::string* why) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* error = dlerror();
    *why = error == nullptr ? "cannot be opened" : error;
    return Status::success();
  }
  lt::Functions functions{};
  if (!resolveAll(library, &functions)) {
    *why = "lacks a function of cuBLASLt 12";
  } else if (functions.getVersion() < kLeastVersion) {
    *why = "is of version " + std::to_string(functions.getVersion()) + ", older than " + std::to_string(kLeastVersion);
  } else {
    lt::Handle handle = nullptr;
    if (const lt::Status status = functions.create(&handle); status == lt::kSuccess) {
      *out = std::make_unique<CublasLt>(functions, handle);
      return (*out)->prepare();
    } else {
      *why = std::string("cublasLtCreate: ") + functions.getStatusString(status);
    }
  }
  dlclose(library);
  return Status::success();
}

}  // namespace

Status openCublasLt(const std::vector<std::string>& paths, std::unique_ptr<Gemm>* out) {
  std::string tried;
  for (const std::string& path : paths) {
    std::unique_ptr<CublasLt> opened;
    std::string why;
    RELIC_TRY(tryOpen(path, &opened, &why));
    if (opened != nullptr) {
      *out = std::move(opened);
      return Status::success();
    }
    tried += "\n  " + path + ": " + why;
  }
  return Status::failure("RELIC_ENGINE_UNAVAILABLE",
                         "the GPU engine found no cuBLASLt that works:" + tried +
                             "\n  fix: install the CUDA toolkit or the Python package nvidia-cublas, or set "
                             "RELIC_CUBLASLT to the file of libcublasLt.so");
}

int64_t planSize(int64_t size) {
  constexpr int64_t kExact = 256, kPerOctave = 8;
  if (size <= kExact) return size;
  int64_t octave = kExact;
  while (octave * 2 <= size) octave *= 2;
  const int64_t step = octave / kPerOctave;
  return (size + step - 1) / step * step;
}

}  // namespace relic::cuda
