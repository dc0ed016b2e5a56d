// Vectors of kVectorBytes, by compiler extensions: the operators + - * / and comparisons work on them element by element.
// The including ISA file has set kVectorBytes and adds the few primitives that the extensions lack.

typedef float Vec __attribute__((vector_size(kVectorBytes)));
typedef int32_t VecInt __attribute__((vector_size(kVectorBytes)));
typedef uint32_t VecUnsigned __attribute__((vector_size(kVectorBytes)));
typedef uint64_t VecWide __attribute__((vector_size(kVectorBytes)));
typedef float VecInMemory __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
typedef uint64_t VecWideInMemory __attribute__((vector_size(kVectorBytes), aligned(2), may_alias));
typedef uint16_t VecHalf __attribute__((vector_size(kVectorBytes / 2)));
typedef uint16_t VecHalfInMemory __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));

constexpr int kLanes = kVectorBytes / 4;
constexpr int kWideLanes = kVectorBytes / 8;

#define RELIC_INLINE static inline __attribute__((always_inline))

RELIC_INLINE Vec load(const float* p) { return *reinterpret_cast<const VecInMemory*>(p); }
RELIC_INLINE void store(float* p, Vec v) { *reinterpret_cast<VecInMemory*>(p) = v; }
RELIC_INLINE Vec all(float x) { return x - Vec{}; }
RELIC_INLINE VecInt allInt(int32_t x) { return x - VecInt{}; }
// 2^n, where the low bits of x hold the whole number n.
RELIC_INLINE Vec powerOfTwo(Vec x) {
  const VecUnsigned one = 0x3f800000u - VecUnsigned{};
  return reinterpret_cast<Vec>((reinterpret_cast<VecUnsigned>(x) << 23) + one);
}
