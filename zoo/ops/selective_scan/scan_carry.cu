// What crosses the cuts when a sequence is split over its length: run before scan_forward (REVERSE 0: the state) or
// scan_backward (REVERSE 1: its adjoint), where samples x channels alone would leave most of the GPU idle.
//
// carry_chunks lets every chunk run from zero, without outputs: one exponential and two multiply-adds an update.
// carry_scan then passes the values from chunk to chunk: out = in * exp(A * sum of dt) + local.
// 8 lanes share a channel, two states each; tiles of 16 steps are staged step-minor in float32.
//
// Macros: IO_KIND STATE ORDERED GATED SOFTPLUS ZOH REVERSE DIRECTIONS
#include "device.cuh"

struct Params {  // the same order in cuda.py
  const IO *u, *dt, *z, *B, *C, *gy;
  const void *A, *bias;
  const int* order;
  float *carry, *decay;
  long long u_batch, dt_batch, z_batch, B_batch, C_batch;
  int u_row, dt_row, z_row, B_row, C_row;
  int steps, rows, channels, n0, A_kind, bias_kind, chunk_steps, chunks;
#if DIRECTIONS
  Directions next;
#endif
};

constexpr int N = 16, LANES = 8, S = N / LANES, CH = 32, THREADS = CH * LANES, TILE = 16, P = TILE + 4;
constexpr bool EXACT = IO_KIND != 1, WHOLE = STATE % N == 0;
constexpr int ITEMS = TILE * CH / THREADS;

extern "C" __global__ void __launch_bounds__(THREADS) carry_chunks(const __grid_constant__ Params all) {
#if DIRECTIONS
  Params p = all;
  move(p.gy, to_direction(p, blockIdx.y), p.next.gy);
#else
  const Params& p = all;
#endif
  // in[]: what enters the state, dt u (or u) forward, dy silu(z) backward; weight[]: B or C
  __shared__ __align__(16) float dt[2][CH * P], in[2][CH * P], weight[2][N * P];
  const int tid = threadIdx.x, c = tid / LANES, g = tid % LANES, d0 = blockIdx.x * CH, sample = blockIdx.y / p.rows;
  const int* order = p.order + (size_t)(blockIdx.y % p.rows) * p.steps;
  const size_t out = (size_t)sample * p.steps * p.rows;
  const int chunk = blockIdx.z + REVERSE;  // nobody follows the last chunk, or precedes the first
  const int begin = chunk * p.chunk_steps, end = min(p.steps, begin + p.chunk_steps), tiles = (end - begin + TILE - 1) / TILE;
  const int own = min(d0 + c, p.channels - 1), staged = min(d0 + tid % CH, p.channels - 1);
  const float bias = parameter(p.bias, p.bias_kind, staged);
  float a2[S], h[S], sum = 0.f;
  UNROLL for (int s = 0; s < S; s++) {
    const int n = p.n0 + g * S + s;
    a2[s] = WHOLE || n < STATE ? decay_rate(p.A, p.A_kind, (size_t)own * STATE + n) * LOG2E : 0.f;
    h[s] = 0.f;
  }
  float raw_dt[ITEMS], raw_in[ITEMS], raw_weight;  // the next tile, in registers
  auto fetch = [&](int tile) {
    UNROLL for (int i = 0; i < ITEMS; i++) {
      const int step = begin + tile * TILE + tid / CH + i * (THREADS / CH);
      const bool is = step < end;
      int row = is ? step : begin;
      if constexpr (ORDERED) row = order[row];
      raw_dt[i] = is ? load1(p.dt + sample * p.dt_batch + (long long)row * p.dt_row + staged) : 0.f;
      if constexpr (!REVERSE) raw_in[i] = is ? load1(p.u + sample * p.u_batch + (long long)row * p.u_row + staged) : 0.f;
      else {
        raw_in[i] = is ? load1(p.gy + (out + row) * p.channels + staged) : 0.f;
        if constexpr (GATED) {
          const float z = is ? load1(p.z + sample * p.z_batch + (long long)row * p.z_row + staged) : 0.f;
          raw_in[i] *= z * sigmoid(z);
        }
      }
    }
    const int step = begin + tile * TILE + tid / N, n = p.n0 + tid % N;
    int row = step < end ? step : begin;
    if constexpr (ORDERED) row = order[row];
    const IO* from = REVERSE ? p.C + sample * p.C_batch + (long long)row * p.C_row : p.B + sample * p.B_batch + (long long)row * p.B_row;
    raw_weight = step < end && (WHOLE || n < STATE) ? load1(from + n) : 0.f;
  };
  auto tile_at = [&](int i) { return REVERSE ? tiles - 1 - i : i; };
  fetch(tile_at(0));
  for (int i = 0; i < tiles; i++) {
    float *sd = dt[i & 1], *sx = in[i & 1], *sw = weight[i & 1];
    UNROLL for (int j = 0; j < ITEMS; j++) {
      const int t = tid / CH + j * (THREADS / CH);
      const bool is = begin + tile_at(i) * TILE + t < end;  // a step that is not there must not decay
      float d = raw_dt[j] + bias;
      if constexpr (SOFTPLUS) d = LN2 * softplus2<EXACT>(d * LOG2E);
      d = is ? d : 0.f;
      sd[tid % CH * P + t] = d;
      sx[tid % CH * P + t] = REVERSE || ZOH ? raw_in[j] : raw_in[j] * d;
    }
    sw[tid % N * P + tid / N] = raw_weight;
    __syncthreads();
    if (i + 1 < tiles) fetch(tile_at(i + 1));
    UNROLL for (int j = 0; j < TILE; j += 4) {
      const int t = REVERSE ? TILE - 4 - j : j;
      float d[4], x[4], b[S][4];
      load_vector<4>(d, &sd[c * P + t]);
      load_vector<4>(x, &sx[c * P + t]);
      UNROLL for (int s = 0; s < S; s++) load_vector<4>(b[s], &sw[(g * S + s) * P + t]);
      sum += d[0] + d[1] + d[2] + d[3];
      UNROLL for (int e = 0; e < 4; e++) {
        const int k = REVERSE ? 3 - e : e;
        UNROLL for (int s = 0; s < S; s++) {
          const float a = ex2(d[k] * a2[s]);
          if constexpr (REVERSE) h[s] = a * fmaf(x[k], b[s][k], h[s]);
          else {
            float in = x[k] * b[s][k];
            if constexpr (ZOH) {
              const float q = d[k] * a2[s] * LN2;
              const float series = fmaf(q, fmaf(q, fmaf(q, fmaf(q, 1.f / 120, 1.f / 24), 1.f / 6), .5f), 1.f);
              in *= d[k] * (fabsf(q) < 0.15f ? series : (a - 1.f) / q);
            }
            h[s] = fmaf(h[s], a, in);
          }
        }
      }
    }
  }
  if (d0 + c >= p.channels) return;
  const size_t at = ((size_t)blockIdx.y * p.chunks + chunk) * p.channels + d0 + c;
  UNROLL for (int s = 0; s < S; s++) if (WHOLE || p.n0 + g * S + s < STATE) p.carry[at * STATE + p.n0 + g * S + s] = h[s];
  if (g == 0) p.decay[at] = sum;
}

// In place: what a chunk passes on becomes what enters it.
extern "C" __global__ void __launch_bounds__(256) carry_scan(const __grid_constant__ Params all) {
#if DIRECTIONS
  Params p = all;
  move(p.gy, to_direction(p, blockIdx.y), p.next.gy);
#else
  const Params& p = all;
#endif
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= p.channels * STATE) return;
  const float a = decay_rate(p.A, p.A_kind, i) * LOG2E;
  float value = 0.f;
  for (int j = 0; j < p.chunks; j++) {
    const size_t at = ((size_t)blockIdx.y * p.chunks + (REVERSE ? p.chunks - 1 - j : j)) * p.channels;
    const float local = j < p.chunks - 1 ? p.carry[at * STATE + i] : 0.f;
    p.carry[at * STATE + i] = value;
    if (j < p.chunks - 1) value = fmaf(value, ex2(a * p.decay[at + i / STATE]), local);
  }
}
