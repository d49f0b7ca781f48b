// Causal depthwise convolution over a few steps, forward and backward; limited by memory, so every row is read once.
//
// A thread owns VEC neighbouring channels and a run of steps, and walks the run with the last WIDTH rows in registers; a
// warp reads 32 VEC channels of a row at once, gathered through the order, results scattered through it. The 8 warps of a
// block take neighbouring runs, so the rows that two runs share are in cache. Rows come GROUP at a time, one group ahead of
// the one in work, positions one group ahead of the rows: no load is waited for at once.
// Backward computes the sum before the activation again, walks WIDTH - 1 steps beyond its run for what those send back, and
// leaves one row of weight and bias gradients per block, added by reduce.cu in a fixed order. No atomics.
//
// Macros: IO_KIND WIDTH VEC ORDERED VECTOR SILU DIRECTIONS
#include "device.cuh"

struct Params {  // the same order in cuda.py
  const IO *x, *gy;
  const void *weight, *bias;
  const int* order;
  IO *y, *gx;
  float* by_block;
  long long x_batch;
  int x_row, steps, rows, channels, weight_kind, bias_kind, run;
#if DIRECTIONS
  long long x_next, weight_next, bias_next;  // bytes, as in Directions
  int sequences;
#endif
};

#if DIRECTIONS
INLINE Params of_direction(Params p) {
  const int k = blockIdx.x / p.sequences;
  move(p.x, k, p.x_next); move(p.weight, k, p.weight_next); move(p.bias, k, p.bias_next);
  p.order += (size_t)k * p.rows * p.steps;
  return p;
}
#else
INLINE const Params& of_direction(const Params& p) { return p; }
#endif

constexpr int WARPS = 8, GROUP = 4, PAST = WIDTH - 1;

struct Row { float v[VEC]; };
struct alignas(VEC * sizeof(IO)) Raw { IO e[VEC]; };  // as it lies in memory

// VEC channels from c; VECTOR: VEC elements are aligned and channels a multiple of VEC.
INLINE Raw load_raw(const IO* row, int c, int channels) {
  if constexpr (VECTOR) return *(const Raw*)(row + c);
  else {
    Raw r;
    UNROLL for (int i = 0; i < VEC; i++) r.e[i] = c + i < channels ? row[c + i] : IO{};
    return r;
  }
}

INLINE Row widen(const Raw& r) {
  Row f;
  UNROLL for (int i = 0; i < VEC; i += 2) { const float2 v = load2(r.e + i); f.v[i] = v.x; f.v[i + 1] = v.y; }
  return f;
}

INLINE Row load_row(const IO* row, int c, int channels) { return widen(load_raw(row, c, channels)); }

INLINE void store_row(IO* row, int c, int channels, const Row& r) {
  if constexpr (VECTOR) {
    alignas(16) IO e[VEC];
    UNROLL for (int i = 0; i < VEC; i += 2) store2(e + i, float2{r.v[i], r.v[i + 1]});
    if constexpr (sizeof(e) == 16) *(uint4*)(row + c) = *(uint4*)e;
    else if constexpr (sizeof(e) == 8) *(uint2*)(row + c) = *(uint2*)e;
    else *(unsigned*)(row + c) = *(unsigned*)e;
  } else UNROLL for (int i = 0; i < VEC; i++) if (c + i < channels) store1(row + c + i, r.v[i]);
}

INLINE Row zero_row() { Row r; UNROLL for (int i = 0; i < VEC; i++) r.v[i] = 0.f; return r; }

struct Place {  // what a thread works on
  int c, begin, end;
  const int* order;
  const IO* x;
  size_t out;
  INLINE Place(const Params& p, const int* order_) {
    const int sample = blockIdx.x / p.rows;
    c = (blockIdx.y * 32 + (threadIdx.x & 31)) * VEC;
    begin = min(p.steps, (int)(blockIdx.z * WARPS + threadIdx.x / 32) * p.run);
    end = min(p.steps, begin + p.run);
    order = order_ + (size_t)(blockIdx.x % p.rows) * p.steps;
    x = p.x + sample * p.x_batch;
    out = (size_t)sample * p.steps * p.rows;
  }
  INLINE int position(int step) const { return ORDERED ? order[step] : step; }
};

INLINE void load_taps(const Params& p, int c, float (&w)[WIDTH][VEC], float (&b)[VEC]) {
  UNROLL for (int i = 0; i < VEC; i++) {
    const int e = min(c + i, p.channels - 1);
    UNROLL for (int k = 0; k < WIDTH; k++) w[k][i] = parameter(p.weight, p.weight_kind, e * WIDTH + k);
    b[i] = parameter(p.bias, p.bias_kind, e);
  }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32) conv_forward(const __grid_constant__ Params all) {
  const Params& p = of_direction(all);
  const Place at(p, p.order);
  const int c = at.c;
  if (c >= p.channels || at.begin >= at.end) return;
  float w[WIDTH][VEC], b[VEC];
  load_taps(p, c, w, b);
  Row past[WIDTH];  // past[k]: k + 1 rows before the group
  UNROLL for (int k = 0; k < PAST; k++)
    past[k] = at.begin > k ? load_row(at.x + (long long)at.position(at.begin - 1 - k) * p.x_row, c, p.channels) : zero_row();
  IO* const y = p.y + at.out * p.channels;
  Raw ahead[GROUP];
  int row[GROUP], next[GROUP];  // positions of the group in work and of the one after
  auto positions = [&](int (&to)[GROUP], int t) { UNROLL for (int j = 0; j < GROUP; j++) to[j] = at.position(min(t + j, at.end - 1)); };
  auto fetch = [&]() { UNROLL for (int j = 0; j < GROUP; j++) ahead[j] = load_raw(at.x + (long long)next[j] * p.x_row, c, p.channels); };
  positions(next, at.begin);
  fetch();
  for (int t = at.begin; t < at.end; t += GROUP) {
    Row now[GROUP];
    UNROLL for (int j = 0; j < GROUP; j++) { now[j] = widen(ahead[j]); row[j] = next[j]; }
    positions(next, t + GROUP);
    if (t + GROUP < at.end) fetch();
    UNROLL for (int j = 0; j < GROUP; j++) {
      Row r;
      UNROLL for (int i = 0; i < VEC; i++) {
        float v = b[i];
        UNROLL for (int k = 0; k < WIDTH; k++) v = fmaf(w[PAST - k][i], j >= k ? now[j >= k ? j - k : 0].v[i] : past[k > j ? k - j - 1 : 0].v[i], v);
        r.v[i] = SILU ? v * sigmoid(v) : v;
      }
      if (t + j < at.end) store_row(y + (long long)row[j] * p.channels, c, p.channels, r);
    }
    UNROLL for (int k = PAST - 1; k >= 0; k--) past[k] = k < GROUP ? now[k < GROUP ? GROUP - 1 - k : 0] : past[k >= GROUP ? k - GROUP : 0];
  }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 2) conv_backward(const __grid_constant__ Params all) {
  const Params& p = of_direction(all);
  const Place at(p, p.order);
  const int c = at.c, lane = threadIdx.x & 31, warp = threadIdx.x / 32;
  float w[WIDTH][VEC], b[VEC], gw[WIDTH][VEC] = {}, gb[VEC] = {};
  load_taps(p, c, w, b);
  if (c < p.channels && at.begin < at.end) {
    Row past[WIDTH], sent[WIDTH];  // past[k]: x, sent[k]: gradient before the activation, k + 1 steps ago
    UNROLL for (int k = 0; k < PAST; k++) {
      past[k] = at.begin > k ? load_row(at.x + (long long)at.position(at.begin - 1 - k) * p.x_row, c, p.channels) : zero_row();
      sent[k] = zero_row();
    }
    const IO* const gy = p.gy + at.out * p.channels;
    IO* const gx_out = p.gx + at.out * p.channels;
    const int stop = min(p.steps, at.end + PAST);
    Raw ahead_x[GROUP], ahead_g[GROUP];
    int next[GROUP];
    auto fetch = [&]() {
      UNROLL for (int j = 0; j < GROUP; j++) {
        ahead_x[j] = load_raw(at.x + (long long)next[j] * p.x_row, c, p.channels);
        ahead_g[j] = load_raw(gy + (long long)next[j] * p.channels, c, p.channels);
      }
    };
    auto positions = [&](int t) { UNROLL for (int j = 0; j < GROUP; j++) next[j] = at.position(min(t + j, stop - 1)); };
    positions(at.begin);
    fetch();
    positions(at.begin + GROUP);
    for (int t = at.begin; t < at.end + PAST; t += GROUP) {
      Raw raw_x[GROUP], raw_g[GROUP];
      UNROLL for (int j = 0; j < GROUP; j++) { raw_x[j] = ahead_x[j]; raw_g[j] = ahead_g[j]; }
      if (t + GROUP < stop) { fetch(); positions(t + 2 * GROUP); }
      UNROLL for (int j = 0; j < GROUP; j++) {
        const bool in = t + j < stop;
        Row gx, now = in ? widen(raw_x[j]) : zero_row(), g = in ? widen(raw_g[j]) : zero_row();
        UNROLL for (int i = 0; i < VEC; i++) {
          float x[WIDTH];
          UNROLL for (int k = 0; k < WIDTH; k++) x[k] = k ? past[k ? k - 1 : 0].v[i] : now.v[i];
          float d = g.v[i];
          if constexpr (SILU) {
            float v = b[i];
            UNROLL for (int k = 0; k < WIDTH; k++) v = fmaf(w[PAST - k][i], x[k], v);
            const float s = sigmoid(v);
            d *= s * fmaf(v, 1.f - s, 1.f);
          }
          g.v[i] = d;
          const float own = t + j < at.end ? d : 0.f;  // the steps beyond belong to another run
          UNROLL for (int k = 0; k < WIDTH; k++) gw[PAST - k][i] = fmaf(own, x[k], gw[PAST - k][i]);
          gb[i] += own;
          float v = w[0][i] * d;  // to the row PAST steps ago
          UNROLL for (int k = 1; k < WIDTH; k++) v = fmaf(w[k][i], sent[k ? k - 1 : 0].v[i], v);
          gx.v[i] = v;
        }
        UNROLL for (int k = PAST - 1; k >= 1; k--) { past[k] = past[k - 1]; sent[k] = sent[k - 1]; }
        past[0] = now;
        sent[0] = g;
        const int to = t + j - PAST;
        if (to >= at.begin && to < at.end) store_row(gx_out + (long long)at.position(to) * p.channels, c, p.channels, gx);
      }
    }
  }
  // over the block's warps, then one row a block: weight gradients (channels, WIDTH), bias gradients (channels)
  __shared__ float part[WARPS][32 * VEC];
  float* const out = p.by_block + ((size_t)blockIdx.x * gridDim.z + blockIdx.z) * p.channels * (WIDTH + 1);
  UNROLL for (int k = 0; k <= WIDTH; k++) {
    __syncthreads();
    UNROLL for (int i = 0; i < VEC; i++) part[warp][i * 32 + lane] = k < WIDTH ? gw[k < WIDTH ? k : 0][i] : gb[i];
    __syncthreads();
    for (int j = threadIdx.x; j < 32 * VEC; j += WARPS * 32) {
      float v = 0.f;
      UNROLL for (int i = 0; i < WARPS; i++) v += part[i][j];
      const int e = (blockIdx.y * 32 + j % 32) * VEC + j / 32;
      if (e < p.channels) out[k < WIDTH ? (size_t)e * WIDTH + k : (size_t)p.channels * WIDTH + e] = v;
    }
  }
}
