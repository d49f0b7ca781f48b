// What every kernel here shares: element types, approximate functions, asynchronous copies, small matrix products.
//
// No header of the CUDA toolkit is included: conversions are one PTX instruction each, and a kernel compiles in a third
// of the time. A kernel file defines no template over its variants; its macros come from Python (-D), one variant a
// compilation.
#pragma once

struct bf16 { unsigned short bits; };
struct fp16 { unsigned short bits; };
#if IO_KIND == 0
using IO = float;
#elif IO_KIND == 1
using IO = bf16;
#else
using IO = fp16;
#endif

constexpr float LOG2E = 1.4426950408889634f, LN2 = 0.6931471805599453f;
constexpr unsigned ALL = 0xffffffffu;

#define INLINE __device__ __forceinline__
#define UNROLL _Pragma("unroll")

// ---- elements: two neighbours at a time, computed with in float32 ----

INLINE float half_to_float(unsigned short h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
INLINE float2 unpack(unsigned v, bf16) { return {__uint_as_float(v << 16), __uint_as_float(v & 0xffff0000u)}; }
INLINE float2 unpack(unsigned v, fp16) { return {half_to_float(v & 0xffff), half_to_float(v >> 16)}; }
INLINE unsigned pack(float2 v, bf16) { unsigned r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(v.y), "f"(v.x)); return r; }
INLINE unsigned pack(float2 v, fp16) { unsigned r; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(v.y), "f"(v.x)); return r; }

template <class T> INLINE float2 load2(const T* p) { return unpack(*(const unsigned*)p, T{}); }
template <> INLINE float2 load2<float>(const float* p) { return *(const float2*)p; }
template <class T> INLINE float load1(const T* p) { return unpack(p->bits, T{}).x; }
template <> INLINE float load1<float>(const float* p) { return *p; }
template <class T> INLINE void store2(T* p, float2 v) { *(unsigned*)p = pack(v, T{}); }
template <> INLINE void store2<float>(float* p, float2 v) { *(float2*)p = v; }
template <class T> INLINE void store1(T* p, float v) { p->bits = (unsigned short)pack(float2{v, 0.f}, T{}); }
template <> INLINE void store1<float>(float* p, float v) { *p = v; }

// To global memory, under a predicate: an `if` around a store would be a branch, which nothing is moved across.
template <class T> INLINE void store2_if(bool there, T* to, float2 v) {
  asm volatile("{.reg .pred p; setp.ne.b32 p, %0, 0; @p st.global.b32 [%1], %2;}" ::"r"((int)there), "l"(to), "r"(pack(v, T{})) : "memory");
}
template <> INLINE void store2_if<float>(bool there, float* to, float2 v) {
  asm volatile("{.reg .pred p; setp.ne.b32 p, %0, 0; @p st.global.v2.f32 [%1], {%2, %3};}" ::"r"((int)there), "l"(to), "f"(v.x), "f"(v.y) : "memory");
}

// Stores of channels c, c + 1 of a row, of which the first or both may exist.
template <class T> INLINE void store_pair(T* row, int c, int channels, float2 v) {
  if (c < channels) store1(row + c, v.x);
  if (c + 1 < channels) store1(row + c + 1, v.y);
}

// A parameter vector of any dtype (kind 0 float32, 1 bf16, 2 fp16), or absent (null): read once per block.
INLINE float parameter(const void* p, int kind, size_t i) {
  if (!p) return 0.f;
  return kind == 0 ? ((const float*)p)[i] : kind == 1 ? load1((const bf16*)p + i) : load1((const fp16*)p + i);
}

// ---- functions: one or two instructions of the special-function unit ----

INLINE float ex2(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
INLINE float lg2(float x) { float y; asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
INLINE float rcp(float x) { float y; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
INLINE float sigmoid(float x) { return rcp(1.f + ex2(-LOG2E * x)); }
// Of two at once by one reciprocal: 1 / a = b / (a b). Below -41 it stays at 2^-60, or a b could be infinite.
INLINE float2 sigmoid(float2 x) {
  const float a = 1.f + ex2(fminf(-LOG2E * x.x, 60.f)), b = 1.f + ex2(fminf(-LOG2E * x.y, 60.f)), r = rcp(a * b);
  return {b * r, a * r};
}

// softplus(x) / ln 2, from x / ln 2: log2(1 + 2^x). EXACT: relative accuracy also where the result is tiny.
template <bool EXACT> INLINE float softplus2(float x) {
  if constexpr (!EXACT) {
    const float l = lg2(1.f + ex2(x));
    return x > 24.f ? x : l;
  }
  const float e = ex2(-fabsf(x));
  float l = lg2(1.f + e);
  {  // log2(1 + e) from the series of atanh, where 1 + e would round e away
    const float s = e * rcp(2.f + e), q = s * s;
    const float series = 2.f * LOG2E * s * fmaf(q, fmaf(q, fmaf(q, 1.f / 7, 1.f / 5), 1.f / 3), 1.f);
    l = e < 0.25f ? series : l;
  }
  return fmaxf(x, 0.f) + l;
}

// A decay rate: as given, or -exp of what is given (kind + 4), as Mamba's weights hold it.
INLINE float decay_rate(const void* p, int kind, size_t i) {
  const float v = parameter(p, kind & 3, i);
  return kind & 4 ? -ex2(LOG2E * v) : v;
}

// ---- rows and copies ----

// The address of a row; stride in bytes, so that it is one instruction (32 x 32 + 64 bits).
template <class T> INLINE T* row_at(T* base, int row, int bytes) { return (T*)((char*)base + (long long)row * bytes); }

INLINE unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
INLINE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> INLINE void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory"); }

// 16 bytes of which the first `valid` elements exist; the rest becomes zero. ALIGNED: the source is aligned to 16 bytes and
// all elements exist, or none (a copy of fewer bytes would cost three more instructions).
template <bool ALIGNED, class T> INLINE void copy16(T* to, const T* from, int valid) {
  constexpr int W = 16 / sizeof(T);
  if constexpr (ALIGNED) {
    const int bytes = valid > 0 ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
  } else {
    UNROLL for (int j = 0; j < W; j++) to[j] = j < valid ? from[j] : T{};
  }
}

INLINE void copy4(int* to, const int* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(to)), "l"(from) : "memory");
}

// ---- several scan directions in one launch (DIRECTIONS 1), one direction's sequences after the other's ----

// What a kernel's Params then have at their end. Bytes lead from a direction's tensor to the next one's, less what the
// index of the sequence, which counts on over all directions, has moved already.
struct Directions {
  long long u, dt, z, B, C, gy, A, D, bias;
  int sequences;  // of a direction
};
template <class T> INLINE void move(const T*& p, int k, long long bytes) { p = (const T*)((const char*)p + k * bytes); }

// Lead what every kernel of the scan reads to the direction of a sequence; which one it is.
template <class P> INLINE int to_direction(P& p, int sequence) {
  const Directions& by = p.next;
  const int k = sequence / by.sequences;
  move(p.u, k, by.u); move(p.dt, k, by.dt); move(p.z, k, by.z); move(p.B, k, by.B); move(p.C, k, by.C);
  move(p.A, k, by.A); move(p.bias, k, by.bias);
  p.order += (size_t)k * p.rows * p.steps;
  return k;
}

// ---- mbarriers: a warp tells another that a stage is full, or free again ----

typedef unsigned long long barrier_t;
INLINE void barrier_init(barrier_t* b, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
}
INLINE void barrier_arrive(barrier_t* b) {
  asm volatile("{.reg .b64 t; mbarrier.arrive.shared.b64 t, [%0];}" ::"r"(shared_address(b)) : "memory");
}
INLINE void barrier_wait(barrier_t* b, int parity) {
#if __CUDA_ARCH__ >= 900
#define ZOO_TRY_WAIT "mbarrier.try_wait.parity.shared.b64"
#else
#define ZOO_TRY_WAIT "mbarrier.test_wait.parity.shared.b64"
#endif
  asm volatile("{.reg .pred p; AGAIN: " ZOO_TRY_WAIT " p, [%0], %1; @p bra DONE; bra AGAIN; DONE: }"
               ::"r"(shared_address(b)), "r"(parity) : "memory");
}

// ---- sums over a warp's lanes by the tensor cores, in tf32 (10 bits of mantissa, the rest is cut off) ----

// D (16x8) += A (16x4) B (4x8). Lane: a0 = A[q][k], a1 = A[q+8][k], b0 = B[k][q], d = D[q][2k, 2k+1], D[q+8][2k, 2k+1]
// with q = lane / 4, k = lane % 4.
INLINE void mma_k4(float* d, float a0, float a1, float b0) {
  asm("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a0)), "r"(__float_as_uint(a1)), "r"(__float_as_uint(b0)));
}
INLINE float tf32(float x) { return __uint_as_float(__float_as_uint(x) & 0xffffe000u); }  // what the tensor core keeps of x

// ---- the sum of a column over the rows of a matrix, in a fixed order ----

// By a block of 256 threads, a column a lane, rows dealt to its 8 warps; true in the lane that then holds the sum.
INLINE bool sum_rows(float& v, const float* from, int rows, int columns, int column) {
  __shared__ float part[8][32];
  const int lane = threadIdx.x & 31, w = threadIdx.x >> 5;
  v = 0.f;
  if (column < columns) {
    #pragma unroll 4
    for (int i = w; i < rows; i += 8) v += from[(size_t)i * columns + column];
  }
  part[w][lane] = v;
  __syncthreads();
  UNROLL for (int i = 1; i < 8; i++) v += part[i][lane];
  return w == 0 && column < columns;
}

// ---- kept states: 16 bits are enough beside bf16 results ----

#if IO_KIND == 1
using KEPT = bf16;
#else
using KEPT = float;
#endif
template <int W> INLINE void keep_vector(bf16* to, const float* from) {
  if constexpr (W == 1) store1(to, *from);
  else if constexpr (W == 2) store2(to, float2{from[0], from[1]});
  else UNROLL for (int j = 0; j < W; j += 4)
    *(uint2*)(to + j) = {pack(float2{from[j], from[j + 1]}, bf16{}), pack(float2{from[j + 2], from[j + 3]}, bf16{})};
}

// ---- vectors in shared memory ----

template <int W> INLINE void load_vector(float* to, const float* from) {
  if constexpr (W == 2) *(float2*)to = *(const float2*)from;
  else if constexpr (W == 1) *to = *from;
  else { UNROLL for (int j = 0; j < W; j += 4) *(float4*)(to + j) = *(const float4*)(from + j); }
}
template <int W> INLINE void store_vector(float* to, const float* from) {
  if constexpr (W == 2) *(float2*)to = *(const float2*)from;
  else if constexpr (W == 1) *to = *from;
  else { UNROLL for (int j = 0; j < W; j += 4) *(float4*)(to + j) = *(const float4*)(from + j); }
}
template <int W> INLINE void keep_vector(float* to, const float* from) { store_vector<W>(to, from); }
