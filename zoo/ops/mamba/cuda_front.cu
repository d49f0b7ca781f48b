// A mixer between its first product and its scan, forward, in one kernel:
//   u = silu(conv(x)) along the order,  rows = x_proj u,  dt = dt_proj rows[:RANK].
//
// As kernels of their own these write and read every sequence once more each, and wait for each other. Here a cluster of
// CLUSTER blocks owns STEPS steps of a sequence. Each block takes every CLUSTER-th chunk of 64 channels, in two passes:
//   1  x, gathered through the order, and weights arrive by cp.async, a chunk ahead. A thread convolves 4 channels of 8
//      steps; the results go out and into a tile of shared memory, which the tensor cores multiply while the next chunk
//      is convolved. A thread's steps are those of its group of 4 warps in the product, so the groups wait for nobody.
//   -  Blocks exchange their sums through distributed shared memory: each adds a share of the steps, in the order of the
//      blocks, and gives the narrow part, rounded, to all.
//   2  Chunks of dt_proj, two ahead, meet the narrow rows; a warp's results go out in whole rows.
// All of x_proj and dt_proj passes every cluster once, which loads the L2 cache more than the sequences do: hence long
// tiles, split over channels. Tiles are rows of 64 elements whose 16-byte units are exchanged by the row (swizzled), as
// the tensor cores read them.
//
// Macros: IO_KIND (1 bf16) STEPS CLUSTER MIN_BLOCKS WIDTH RANK ROWS PARAMETER (0 float, 1 bf16) ORDERED
//         SHARED (bytes of the launch)
#include "device.cuh"

struct Params {  // the same order in cuda_front.py
  const IO* x;
  const void *weight, *bias;
  const int* order;
  const IO *x_proj, *dt_proj;
  IO *u, *narrow, *dt;
  long long x_batch;
  int x_row, wide, steps, lines, channels;  // bytes from row to row, of x and of results; steps and rows of the order
};

#if PARAMETER == 0
using Weight = float;
#else
using Weight = bf16;
#endif

constexpr int T = STEPS, C = 64, R = RANK, N = ROWS, S = CLUSTER, PAST = WIDTH - 1, THREADS = 2 * T, UNIT = 8, TILE = T * C;
__device__ constexpr int round_up(int n, int to) { return (n + to - 1) / to * to; }
__device__ constexpr int larger(int a, int b) { return a > b ? a : b; }
// Elements of shared memory; what the tensor cores read starts at a multiple of 1024 bytes.
// Pass 1: x_proj three times (in work, multiplied still, on its way), the tile of u, x and taps twice.
constexpr int TILE_AT = 3 * N * C, X_AT = TILE_AT + TILE, TAPS = C * (WIDTH + 1) * sizeof(Weight) / sizeof(IO);
constexpr int TAPS_AT = (T + PAST) * C, X_STAGE = TAPS_AT + TAPS, FIRST = X_AT + 2 * X_STAGE;
// The exchange: sums in float32. Pass 2: dt_proj three times, a tile of dt. Narrow rows beside either.
constexpr int PITCH = N + 8, SUMS = 2 * T * PITCH;
constexpr int K_TILES = (R + C - 1) / C, W_STAGE = K_TILES * C * C, DT_AT = 3 * W_STAGE;
constexpr int LOW_AT = round_up(larger(SUMS, DT_AT + TILE), 512), POSITION_AT = larger(FIRST, LOW_AT + K_TILES * TILE);
constexpr int AHEAD = 4 - PAST;  // a tile's own positions start at 4, the PAST before it lie before
constexpr int COPIES = ((T + PAST) * (C / UNIT) + THREADS - 1) / THREADS;  // of x, of a thread
static_assert(SHARED == POSITION_AT * sizeof(IO) + (4 + T) * sizeof(int), "as Tile.shared says");
static_assert(IO_KIND == 1 && (N == 64 || N == 96 || N == 128) && R % 16 == 0 && R <= 128 && T % 64 == 0 && WIDTH <= 4, "front");

INLINE unsigned swizzled(unsigned row, unsigned unit) { return row * C + (unit ^ (row & 7)) * UNIT; }
// What follows from the result is computed where it stands and not kept through a loop, for want of registers.
INLINE int fresh(int x) { asm volatile("" : "+r"(x)); return x; }

// Elements of a step that is one of the `steps`: a branch would keep the assembler from mixing stores with what follows.
INLINE void store_if(int step, int steps, IO* to, uint2 v) {
  asm volatile("{.reg .pred p; setp.lt.s32 p, %0, %1; @p st.global.v2.b32 [%2], {%3, %4};}"
               ::"r"(step), "r"(steps), "l"(to), "r"(v.x), "r"(v.y) : "memory");
}
INLINE void store_if(int step, int steps, IO* to, uint4 v) {
  asm volatile("{.reg .pred p; setp.lt.s32 p, %0, %1; @p st.global.v4.b32 [%2], {%3, %4, %5, %6};}"
               ::"r"(step), "r"(steps), "l"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
INLINE void store_shared(unsigned to, uint2 v) { asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"r"(to), "r"(v.x), "r"(v.y) : "memory"); }
INLINE void store_shared(unsigned to, unsigned v) { asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(v) : "memory"); }

// ---- what blocks of a cluster see of each other ----

INLINE unsigned remote(const void* p, int block) {
  unsigned r;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(shared_address(p)), "r"(block));
  return r;
}
INLINE float4 load_remote(const float* p, int block) {
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(remote(p, block)) : "memory");
  return v;
}
INLINE void store_remote(IO* p, int block, uint2 v) {
  asm volatile("st.shared::cluster.v2.b32 [%0], {%1,%2};" ::"r"(remote(p, block)), "r"(v.x), "r"(v.y) : "memory");
}
INLINE void wait_for_all() {
  if constexpr (S == 1) __syncthreads();
  else asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

INLINE void load4(float* to, const float* from) { load_vector<4>(to, from); }
INLINE void load4(float* to, const bf16* from) {
  const uint2 v = *(const uint2*)from;
  const float2 a = unpack(v.x, bf16{}), b = unpack(v.y, bf16{});
  to[0] = a.x; to[1] = a.y; to[2] = b.x; to[3] = b.y;
}

// ---- products of whole tiles by a group of 4 warps, asynchronously (wgmma) ----

// What the tensor cores know of a swizzled tile: its address in units of 16 bytes, and 1024 bytes from 8 rows to the next 8.
INLINE unsigned described(unsigned address) { return address >> 4 | 1 << 16; }
#define EIGHT(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define D32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define D48 D32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define D64 D48 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

// D (64 x COLUMNS, float32) += A (64 x 16) B' (COLUMNS x 16), both K-major. Of warp w, lane (q, k) = (lane / 4, lane % 4) holds
// in d[4j ..] columns 8j + 2k and + 1 of row 16w + q, then of row 16w + q + 8.
#define MULTIPLY(columns, sums, a, b) "{.reg .b64 a, b; mov.b64 a, {" a ", 0x40000040}; mov.b64 b, {" b ", 0x40000040}; " \
  "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" sums "}, a, b, 1, 1, 1, 0, 0;}"
template <int COLUMNS> INLINE void multiply(float* d, unsigned a, unsigned b) {
  if constexpr (COLUMNS == 64) asm volatile(MULTIPLY("64", D32, "%32", "%33") : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24) : "r"(a), "r"(b));
  else if constexpr (COLUMNS == 96)
    asm volatile(MULTIPLY("96", D48, "%48", "%49") : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24), EIGHT(32), EIGHT(40) : "r"(a), "r"(b));
  else
    asm volatile(MULTIPLY("128", D64, "%64", "%65")
                 : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24), EIGHT(32), EIGHT(40), EIGHT(48), EIGHT(56) : "r"(a), "r"(b));
}
INLINE void tiles_written() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// Nobody moves or reads the sums while they are in work.
template <int COUNT> INLINE void still(float (&d)[COUNT]) { UNROLL for (int i = 0; i < COUNT; i += 8) asm volatile("" : EIGHT(i)::"memory"); }
template <int COUNT> INLINE void multiply_begin(float (&d)[COUNT]) {
  still(d);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
INLINE void multiply_end() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int COUNT> INLINE void multiplied(float (&d)[COUNT]) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  still(d);
}
INLINE void wait_for_group() { asm volatile("bar.sync %0, 128;" ::"r"(1 + threadIdx.x / 128) : "memory"); }

struct Place {  // of a block's work, and of a thread in it
  unsigned tid = threadIdx.x, lane = tid % 32, q = lane / 4, k = lane % 4;
  unsigned group = tid / 128 * 64, m = tid / 32 * 16;  // of a product, 4 warps have 64 steps, a warp 16
  int block = blockIdx.x, t0 = blockIdx.y * T;
};

// Pass 1: `sum`, the product of u and x_proj over the block's channels; u.
INLINE void convolve(const Params& p, const Place& at, IO* shared, const int* position, float (&sum)[N / 2]) {
  const unsigned tid = at.tid;
  const int sample = blockIdx.z / p.lines, count = (p.channels / C - at.block + S - 1) / S;
  const IO* const x = p.x + sample * p.x_batch;
  IO* const u = p.u + (size_t)sample * p.steps * p.lines * p.channels;
  int from[COPIES];  // positions of a thread's copies, of which some are of no step
  UNROLL for (int j = 0; j < COPIES; j++) from[j] = position[AHEAD + min(tid / UNIT + j * (THREADS / UNIT), T + PAST - 1)];
  auto fetch = [&](int i, int third) {
    if (i >= count) return;
    const int c0 = (at.block + i * S) * C;
    IO* const weights = shared + third * (N * C) + swizzled(tid / UNIT, tid % UNIT);
    const IO* const weights_from = p.x_proj + fresh(tid / UNIT * p.channels + tid % UNIT * UNIT + c0);
    UNROLL for (int j = 0; j < N * UNIT / THREADS; j++)
      copy16<true>(weights + j * (THREADS * UNIT), row_at(weights_from, j * (THREADS / UNIT), p.wide), UNIT);
    IO* const stage = shared + X_AT + i % 2 * X_STAGE;
    const IO* const x_from = x + fresh(tid % UNIT * UNIT + c0);
    UNROLL for (int j = 0; j < COPIES; j++) {
      const unsigned row = tid / UNIT + j * (THREADS / UNIT);
      if ((j + 1) * THREADS / UNIT <= T + PAST || row < T + PAST)
        copy16<true>(stage + tid * UNIT + j * (THREADS * UNIT), row_at(x_from, from[j], p.x_row), at.t0 - PAST + row < (unsigned)p.steps ? UNIT : 0);
    }
    constexpr unsigned W = 16 / sizeof(Weight);
    Weight* const taps = (Weight*)(stage + TAPS_AT);
    if (tid < C * WIDTH / W) copy16<true>(taps + tid * W, (const Weight*)p.weight + fresh(c0 * WIDTH + tid * W), W);
    else if (tid - C * WIDTH / W < C / W) {
      const unsigned k = (tid - C * WIDTH / W) * W;
      copy16<true>(taps + C * WIDTH + k, p.bias ? (const Weight*)p.bias + fresh(c0 + k) : (const Weight*)p.weight, p.bias ? W : 0);
    }
    copy_commit();
  };
  const unsigned c = tid % 16 * 4, first = tid / 16 * 8;  // a thread's channels and steps; those of a group of 4 warps are its rows of the tile
  const unsigned tile_at = shared_address(shared + TILE_AT + swizzled(first, c / UNIT) + c % UNIT);  // row first + j: exclusive-or j
  const unsigned a_at = described(shared_address(shared + TILE_AT + at.group * C)), b_at = described(shared_address(shared));
  fetch(0, 0);
  int third = 0;
  for (int i = 0; i < count; i++) {
    copy_wait<0>();
    __syncthreads();  // the chunk is here, and nobody reads the x before it, nor the x_proj before that one, any more
    const int next = third == 2 ? 0 : third + 1;
    fetch(i + 1, next);
    const IO* const stage = shared + X_AT + i % 2 * X_STAGE;
    const Weight* const taps = (const Weight*)(stage + TAPS_AT);
    const IO* const rows = stage + first * C + c;  // PAST steps before the thread's first
    float w[4 * WIDTH], b[4], x[2 + PAST][4];
    UNROLL for (int j = 0; j < WIDTH; j++) load4(w + 4 * j, taps + c * WIDTH + 4 * j);
    load4(b, taps + C * WIDTH + c);
    UNROLL for (int j = 0; j < PAST; j++) load4(x[j], rows + j * C);
    UNROLL for (int two = 0; two < 8; two += 2) {  // 8 results side by side: many waits at a time
      UNROLL for (int j = 0; j < 2; j++) load4(x[PAST + j], rows + (PAST + two + j) * C);
      uint2 packed[2];
      UNROLL for (int j = 0; j < 2; j++) {
        float r[4];
        UNROLL for (int e = 0; e < 4; e++) {
          float v = b[e];
          UNROLL for (int k = 0; k < WIDTH; k++) v = fmaf(w[e * WIDTH + k], x[j + k][e], v);
          r[e] = v * sigmoid(v);
        }
        packed[j] = {pack(float2{r[0], r[1]}, bf16{}), pack(float2{r[2], r[3]}, bf16{})};
      }
      UNROLL for (int j = 0; j < 2; j++) asm volatile("" : "+r"(packed[j].x), "+r"(packed[j].y));  // ready before the wait
      if (two == 0) {
        multiplied(sum);  // the chunk before: the tile is free
        wait_for_group();
      }
      int to[2];
      *(int2*)to = *(const int2*)(position + 4 + first + two);
      IO* const u_chunk = u + fresh((at.block + i * S) * C + c);
      UNROLL for (int j = 0; j < 2; j++) {
        store_shared((tile_at ^ (two + j) * 16) + (two + j) * (C * 2), packed[j]);
        store_if(at.t0 + first + two + j, p.steps, row_at(u_chunk, to[j], p.wide), packed[j]);
      }
      UNROLL for (int j = 0; j < PAST; j++) UNROLL for (int e = 0; e < 4; e++) x[j][e] = x[2 + j][e];
    }
    tiles_written();
    wait_for_group();
    multiply_begin(sum);
    UNROLL for (int k = 0; k < C / 16; k++) multiply<N>(sum, a_at + 2 * k, b_at + third * (N * C / 8) + 2 * k);  // in units of 16 bytes
    multiply_end();
    third = next;
  }
  multiplied(sum);
}

// Add the blocks' sums: `narrow` goes out, its first R columns to every block's `low`.
INLINE void exchange(const Params& p, const Place& at, float* sums, IO* low, const int* position, const float (&sum)[N / 2]) {
  __syncthreads();  // the memory was in use
  UNROLL for (int j = 0; j < N / 8; j++) UNROLL for (int e = 0; e < 2; e++)
    *(float2*)(sums + (at.m + at.q + 8 * e) * PITCH + 8 * j + 2 * at.k) = float2{sum[4 * j + 2 * e], sum[4 * j + 2 * e + 1]};
  wait_for_all();
  IO* const narrow = p.narrow + (size_t)(blockIdx.z / p.lines) * p.steps * p.lines * N;
  constexpr int SHARE = (T + S - 1) / S, COUNT = SHARE * (N / 4), ITEMS = (COUNT + THREADS - 1) / THREADS;  // of steps; of four columns each
  float4 v[ITEMS][S];
  auto step = [&](unsigned item) { return at.block * SHARE + item / (N / 4); };
  UNROLL for (int i = 0; i < ITEMS; i++) {
    const unsigned item = at.tid + i * THREADS;
    const float* from = sums + min(step(item), T - 1u) * PITCH + item % (N / 4) * 4;
    UNROLL for (int s = 0; s < S; s++) v[i][s] = load_remote(from, s);
  }
  UNROLL for (int i = 0; i < ITEMS; i++) {
    const unsigned item = at.tid + i * THREADS, t = step(item), n = item % (N / 4) * 4;
    if ((COUNT % THREADS && item >= COUNT) || (T % S && t >= T)) break;
    float4 total = v[i][0];
    UNROLL for (int s = 1; s < S; s++) { total.x += v[i][s].x; total.y += v[i][s].y; total.z += v[i][s].z; total.w += v[i][s].w; }
    const uint2 packed = {pack(float2{total.x, total.y}, bf16{}), pack(float2{total.z, total.w}, bf16{})};
    store_if(at.t0 + t, p.steps, row_at(narrow + n, position[4 + t], 2 * N), packed);
    if (n < R) UNROLL for (int s = 0; s < S; s++) store_remote(low + n / C * (T * C) + swizzled(t, n % C / UNIT) + n % UNIT, s, packed);
  }
  wait_for_all();
}

// Pass 2: dt of the block's channels.
INLINE void widen(const Params& p, const Place& at, IO* shared, const IO* low, const int* position) {
  const unsigned tid = at.tid, lane = at.lane;
  const int count = (p.channels / C - at.block + S - 1) / S;
  IO* const tile = shared + DT_AT;
  auto fetch = [&](int i, int third) {
    if (i >= count) return copy_commit();
    IO* const stage = shared + third * W_STAGE;
    const IO* const from = p.dt_proj + (size_t)(at.block + i * S) * (C * R);
    UNROLL for (int j = 0; j < (C * R / UNIT + THREADS - 1) / THREADS; j++) {
      const unsigned k = tid + j * THREADS, row = k / (R / UNIT), unit = k % (R / UNIT);
      if (C * R / UNIT % THREADS == 0 || k < C * R / UNIT)
        copy16<true>(stage + unit / UNIT * (C * C) + swizzled(row, unit % UNIT), from + k * UNIT, UNIT);
    }
    copy_commit();
  };
  const unsigned a_at = described(shared_address(low + at.group * C)), b_at = described(shared_address(shared));
  const unsigned to = shared_address(tile + swizzled(at.m + at.q, 0) + 2 * at.k);  // unit j: exclusive-or j
  int row[4];  // of a lane's stores: rows of 128 bytes, a quarter of a warp each
  UNROLL for (int r = 0; r < 4; r++) row[r] = position[4 + at.m + lane / 8 + 4 * r];
  IO* const dt = p.dt + (size_t)(blockIdx.z / p.lines) * p.steps * p.lines * p.channels + lane % 8 * UNIT;
  fetch(0, 0);
  fetch(1, 1);
  int third = 0;
  for (int i = 0; i < count; i++) {
    copy_wait<1>();
    tiles_written();
    __syncthreads();
    fetch(i + 2, third ? third - 1 : 2);
    float sum[C / 2] = {};
    multiply_begin(sum);
    UNROLL for (int k = 0; k < R / 16; k++)
      multiply<C>(sum, a_at + k / 4 * (TILE / 8) + k % 4 * 2, b_at + third * (W_STAGE / 8) + k / 4 * (C * C / 8) + k % 4 * 2);
    multiply_end();
    third = third == 2 ? 0 : third + 1;
    multiplied(sum);
    UNROLL for (int j = 0; j < C / 8; j++) UNROLL for (int e = 0; e < 2; e++)
      store_shared((to ^ j * 16) + e * (8 * C * 2), pack(float2{sum[4 * j + 2 * e], sum[4 * j + 2 * e + 1]}, bf16{}));
    __syncwarp();  // a warp reads what it has written
    IO* const dt_chunk = dt + (at.block + i * S) * C;
    UNROLL for (int r = 0; r < 4; r++)
      store_if(at.t0 + at.m + lane / 8 + 4 * r, p.steps, row_at(dt_chunk, row[r], p.wide), *(const uint4*)(tile + swizzled(at.m + lane / 8 + 4 * r, lane % 8)));
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) __cluster_dims__(S, 1, 1) front(const __grid_constant__ Params p) {
  extern __shared__ __align__(1024) IO shared[];
  int* const position = (int*)(shared + POSITION_AT);  // of the tile's steps and those before, or of one nearby where there is none
  const Place at;
  #pragma unroll 1
  for (int i = at.tid; i < 4 + T; i += THREADS) {
    const int t = min(max(at.t0 - 4 + i, 0), p.steps - 1);
    position[i] = ORDERED ? p.order[(size_t)(blockIdx.z % p.lines) * p.steps + t] : t;
  }
  __syncthreads();
  float sum[N / 2] = {};
  convolve(p, at, shared, position, sum);
  exchange(p, at, (float*)shared, shared + LOW_AT, position, sum);
  widen(p, at, shared, shared + LOW_AT, position);
}
