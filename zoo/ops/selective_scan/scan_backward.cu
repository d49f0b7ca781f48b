// Selective scan, backward: walks a sequence from its last tile to its first.
//
// A block owns CHANNELS channels of one sequence; a warp owns 8 K of them and never waits for another except for B and C
// (one barrier a tile of TILE steps). Lane (q, g) = (lane / 4, lane % 4) holds channels q, q + 8, ... (K of them) and states
// 4 g .. 4 g + 3, permuted by q so that the sums over channels need almost no selects. A tile:
//   1. stage     raw rows came by cp.async one tile ahead (gathered through the order); dt, dt u and dy silu(z) in float32,
//                transposed to step-minor rows
//   2. replay    from the state that the forward pass kept at the tile's start, leaving the state before each T steps
//   3. backward  T steps at a time, latest first: replay them with states and decays in registers, then the adjoint g:
//                g += dy C;  du += g W B;  dB = sum_c g W u;  dC = sum_c dy h;  g *= a;  d(dt), dA += g h ...
//                Sums over the 4 lanes of a channel by mma against a masked column of ones (tf32; EXACT adds what it cuts
//                off), sums over channels by shuffles, then over warps in shared memory
//   4. finish    du, d(dt), dz from the tile's sums; sums for D and the bias stay in registers
// No atomics: dB, dC go out per block, dA, dD, dbias per sequence and chunk; two small
// kernels add them in a fixed order.
// A long sequence is cut into chunks (blockIdx.z); scan_carry.cu finds the adjoint that enters each.
// Steps after the end read zeros; their dy is 0, so they add nothing.
// More than 16 states: one launch per 16 (GROUP as in scan_forward.cu); `partial` carries the sums over states.
//
// Macros: IO_KIND CHANNELS MIN_BLOCKS STATE GROUP ORDERED VECTOR GATED SOFTPLUS ZOH DIRECTIONS AGAIN (1: the gated output once more, into y)
#include "device.cuh"

struct Params {  // the same order in cuda.py
  const IO *u, *dt, *z, *B, *C, *gy;
  const void *A, *D, *bias;
  const int* order;
  const KEPT* states;
  const float* g_in;
  IO *gu, *gdt, *gz, *y;
  float *by_block, *by_chunk, *partial;
  long long u_batch, dt_batch, z_batch, B_batch, C_batch;
  int u_row, dt_row, z_row, B_row, C_row, y_row;  // bytes
  int steps, rows, channels, n0, A_kind, D_kind, bias_kind, chunk_tiles;
#if DIRECTIONS
  Directions next;
#endif
};

constexpr int K = 2, T = 4, TILE = 16, M = TILE / T, CH = CHANNELS, N = 16, S = 4, LANES = 4;
constexpr int THREADS = CH / K * LANES, WARPS = THREADS / 32, OWN = 8 * K;  // channels of a warp
constexpr bool EXACT = IO_KIND != 1, WHOLE = STATE % N == 0;
constexpr int P = TILE + 4, PLANE = CH * P, BC = 2 * N * P;
constexpr int RED = WARPS * TILE * 32;
// shared memory, floats. y takes the place of dt u, and d(dt) that of dy silu(z), steps at a time, when those are used up
constexpr int DT = 0, DU = PLANE, GY = 2 * PLANE, GU = 3 * PLANE, BT = 4 * PLANE, SUMS = BT + 2 * BC, SUB = SUMS + 2 * RED;
constexpr int FLOATS = SUB + (M - 1) * K * S * THREADS;
constexpr int W = 16 / sizeof(IO), SEQ = 3 + GATED;
constexpr int RAW = TILE * CH + TILE / 4 * OWN, RAW_BC = TILE * N;  // elements; OWN spare ones after every 4 rows
constexpr int ITEM = 4;                                             // a lane stages 2 channels x ITEM steps
static_assert(TILE * K == 32 && TILE * 2 * N / W <= THREADS * (IO_KIND ? 1 : 2), "tile");

INLINE float shuffle(float v, int mask) { return __shfl_xor_sync(ALL, v, mask); }
INLINE int raw_row(int t) { return t * CH + (t >> 2) * OWN; }

// acc column q' += sums over the 4 lanes of v0 (rows 0-7) and v1 (rows 8-15); `one` is 1 in the lanes of that column
INLINE void sum_lanes(float* acc, float v0, float v1, float one) {
  if constexpr (EXACT) mma_k4(acc, v0 - tf32(v0), v1 - tf32(v1), one);
  mma_k4(acc, v0, v1, one);
}

// Exponentials are 2^x, so dt is kept in units of ln 2 and B multiplied by ln 2 (euler); dA and dB are scaled at the end.
// W = (a - 1) / A and dW/dA = dt^2 phi'(dt A), phi(s) = (exp(s) - 1) / s; x = dt A / ln 2, a = 2^x, d = dt itself
INLINE float zoh_weight(float x, float a, float d) {
  const float s = x * LN2;
  const float series = fmaf(s, fmaf(s, fmaf(s, fmaf(s, 1.f / 120, 1.f / 24), 1.f / 6), .5f), 1.f);
  return d * (fabsf(s) < 0.15f ? series : (a - 1.f) / s);
}
INLINE float zoh_slope(float x, float a, float d) {
  const float s = x * LN2;
  float series = 0.f;
  const float k[8] = {8.f / 362880, 7.f / 40320, 6.f / 5040, 5.f / 720, 4.f / 120, 3.f / 24, 2.f / 6, 1.f / 2};
  UNROLL for (int i = 0; i < 8; i++) series = fmaf(series, s, k[i]);
  return d * d * (fabsf(s) < 0.5f ? series : (a - (a - 1.f) / s) / s);
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) scan_backward(const __grid_constant__ Params all) {
#if DIRECTIONS
  Params p = all;
  const int direction = to_direction(p, blockIdx.y);
  move(p.D, direction, p.next.D);
  move(p.gy, direction, p.next.gy);
#else
  const Params& p = all;
#endif
  extern __shared__ __align__(16) float shared[];
  float *const sd = shared + DT, *const su = shared + DU, *const sg = shared + GY, *const sdu = shared + GU;
  float *const sy = su, *const sda = sg;
  IO *const raw_all = (IO*)(shared + FLOATS), *const raw_bc = raw_all + 2 * SEQ * RAW;
  const int tid = threadIdx.x, lane = tid & 31, w = tid >> 5, g = lane & 3, q = lane >> 2;
  const int d0 = blockIdx.x * CH, left = p.channels - d0, steps = p.steps, sample = blockIdx.y / p.rows;
  const int all_tiles = (steps + TILE - 1) / TILE, first = blockIdx.z * p.chunk_tiles, last = min(all_tiles, first + p.chunk_tiles);
  const int* order = p.order + (size_t)(blockIdx.y % p.rows) * steps;
  const size_t out = (size_t)sample * steps * p.rows, chunk = (size_t)blockIdx.y * gridDim.z + blockIdx.z;
  const IO *u = p.u + sample * p.u_batch + d0, *dt = p.dt + sample * p.dt_batch + d0, *z = p.z + sample * p.z_batch + d0;
  const IO *B_in = p.B + sample * p.B_batch + p.n0, *C_in = p.C + sample * p.C_batch + p.n0;
  const IO* gy_in = p.gy + out * p.channels + d0;
  const int c0 = w * OWN + q;
  auto channel = [&](int k) { return min(d0 + c0 + 8 * k, p.channels - 1); };
  // Positions of a tile come with the copies of the tile after it, so no load waits for another.
  __shared__ int positions[ORDERED ? 4 : 1][TILE];
  auto fetch_positions = [&](int tile) {
    if (ORDERED && tid < TILE && tile >= 0) copy4(&positions[tile & 3][tid], order + min(tile * TILE + tid, steps - 1));
  };
  auto position = [&](int tile, int t) { return ORDERED ? positions[tile & 3][t] : tile * TILE + t; };
  int n[S];
  UNROLL for (int s = 0; s < S; s++) n[s] = g * S + (s ^ (q & 3));
  auto exists = [&](int s) { return WHOLE || p.n0 + n[s] < STATE; };

  float A[K][S], ga[K][S], dA[K][S];
  UNROLL for (int k = 0; k < K; k++) UNROLL for (int s = 0; s < S; s++) {
    A[k][s] = exists(s) ? decay_rate(p.A, p.A_kind, (size_t)channel(k) * STATE + p.n0 + n[s]) : 0.f;
    ga[k][s] = p.g_in && exists(s) ? p.g_in[(chunk * p.channels + channel(k)) * STATE + p.n0 + n[s]] : 0.f;
    dA[k][s] = 0.f;
  }

  auto fetch = [&](int tile) {
    const int t0 = tile * TILE, slot = tile & 1;
    UNROLL for (int j = lane; j < TILE * (OWN / W); j += 32) {
      const int t = j / (OWN / W), c = w * OWN + j % (OWN / W) * W;
      const bool in = t0 + t < steps;
      const int row = in || ORDERED ? position(tile, t) : 0, valid = in ? left - c : 0;
      IO* to = raw_all + slot * SEQ * RAW + raw_row(t) + c;
      copy16<VECTOR>(to, row_at(u, row, p.u_row) + c, valid);
      copy16<VECTOR>(to + RAW, row_at(dt, row, p.dt_row) + c, valid);
      copy16<VECTOR>(to + 2 * RAW, row_at(gy_in, row, p.y_row) + c, valid);
      if constexpr (GATED) copy16<VECTOR>(to + 3 * RAW, row_at(z, row, p.z_row) + c, valid);
    }
    UNROLL for (int j = tid; j < 2 * TILE * (N / W); j += THREADS) {
      const int t = j / (N / W) % TILE, m = j % (N / W) * W;
      const bool in = t0 + t < steps, is_C = j >= TILE * (N / W);
      const int row = in || ORDERED ? position(tile, t) : 0;
      const IO* from = row_at(is_C ? C_in : B_in, row, is_C ? p.C_row : p.B_row);
      copy16<VECTOR>(raw_bc + (2 * slot + is_C) * RAW_BC + t * N + m, from + m, in ? (WHOLE ? W : STATE - p.n0 - m) : 0);
    }
    fetch_positions(tile - 1);
    copy_commit();
  };

  // sums over the block's warps of a finished tile's dB, dC: 32 floats a step, lane-shaped (scan_reduce.cu knows the states)
  auto sum_warps = [&](int tile) {
    const float* from = shared + SUMS + (tile & 1) * RED;
    UNROLL for (int j = tid; j < TILE * 8; j += THREADS) {
      float4 v = make_float4(0, 0, 0, 0);
      UNROLL for (int i = 0; i < WARPS; i++) {
        const float4 x = *(const float4*)&from[i * TILE * 32 + 4 * j];
        v.x += x.x; v.y += x.y; v.z += x.z; v.w += x.w;
      }
      const int step = tile * TILE + j / 8;
      if (step < steps) *(float4*)&p.by_block[((out + position(tile, j / 8)) * gridDim.x + blockIdx.x) * 32 + (j & 7) * 4] = v;
    }
  };

  const int cc = w * OWN + 2 * (lane % (OWN / 2)), tb = ITEM * (lane / (OWN / 2));  // what this lane stages and finishes
  const int e0 = min(d0 + cc, p.channels - 1), e1 = min(d0 + cc + 1, p.channels - 1);
  const float bias[2] = {parameter(p.bias, p.bias_kind, e0) * LOG2E, parameter(p.bias, p.bias_kind, e1) * LOG2E};
  const float D[2] = {parameter(p.D, p.D_kind, e0), parameter(p.D, p.D_kind, e1)};
  float dD[2] = {0, 0}, db[2] = {0, 0};
  const size_t own = out * p.channels + d0 + cc;

  if constexpr (ORDERED) {
    fetch_positions(last - 1);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
  }
  fetch(last - 1);
  for (int tile = last - 1; tile >= first; tile--) {
    const int slot = tile & 1, t0 = tile * TILE, top = min(M, (steps - t0 + T - 1) / T) - 1;  // top: last m with a step
    float h0[K][S];
    UNROLL for (int k = 0; k < K; k++) {
      const KEPT* const from = p.states + (((size_t)blockIdx.y * all_tiles + tile) * p.channels + channel(k)) * STATE + p.n0 + g * S;
      if constexpr (WHOLE && IO_KIND == 1) {
        uint2 v = tile > 0 ? *(const uint2*)from : uint2{0, 0};
        if (q & 2) { const unsigned t = v.x; v.x = v.y; v.y = t; }
        const float2 a = unpack(v.x, bf16{}), b = unpack(v.y, bf16{});
        h0[k][0] = q & 1 ? a.y : a.x; h0[k][1] = q & 1 ? a.x : a.y; h0[k][2] = q & 1 ? b.y : b.x; h0[k][3] = q & 1 ? b.x : b.y;
      } else UNROLL for (int s = 0; s < S; s++) h0[k][s] = tile > 0 && exists(s) ? load1(from + (s ^ (q & 3))) : 0.f;
    }
    copy_wait<0>();
    if constexpr (IO_KIND == 0) __syncthreads();  // a warp stages rows of B and C that another one copied
    else __syncwarp();
    float *const sB = shared + BT + slot * BC, *const sC = sB + N * P, *const red = shared + SUMS + slot * RED;
    IO* const raw = raw_all + slot * SEQ * RAW + raw_row(tb) + cc;

    {  // 1. stage
      float d[2][ITEM], x[2][ITEM], gg[2][ITEM];
      UNROLL for (int j = 0; j < ITEM; j++) {
        const float2 U = load2(raw + j * CH), R = load2(raw + RAW + j * CH), G = load2(raw + 2 * RAW + j * CH);
        const float uu[2] = {U.x, U.y}, rr[2] = {R.x, R.y};
        UNROLL for (int e = 0; e < 2; e++) {
          const float r = fmaf(rr[e], LOG2E, bias[e]);
          d[e][j] = SOFTPLUS ? softplus2<EXACT>(r) : r;
          x[e][j] = ZOH ? uu[e] : d[e][j] * uu[e];
        }
        gg[0][j] = G.x; gg[1][j] = G.y;
        if constexpr (GATED) {
          const float2 Z = load2(raw + 3 * RAW + j * CH), s = sigmoid(Z);
          gg[0][j] *= Z.x * s.x; gg[1][j] *= Z.y * s.y;
          if constexpr (!EXACT) store2(raw + RAW + j * CH, s);  // where dt was: the finish needs it once more
        }
      }
      UNROLL for (int e = 0; e < 2; e++) {
        store_vector<ITEM>(&sd[(cc + e) * P + tb], d[e]);
        store_vector<ITEM>(&su[(cc + e) * P + tb], x[e]);
        store_vector<ITEM>(&sg[(cc + e) * P + tb], gg[e]);
      }
    }
    UNROLL for (int j = tid; j < TILE * 4; j += THREADS) {
      const int t = (j >> 1) % TILE, m = (j & 1) * 8, is_C = j >= TILE * 2;
      const IO* from = raw_bc + (2 * slot + is_C) * RAW_BC + t * N + m;
      float* to = (is_C ? sC : sB) + m * P + t;
      UNROLL for (int e = 0; e < 4; e++) { const float2 v = load2(from + 2 * e); to[2 * e * P] = is_C || ZOH ? v.x : v.x * LN2; to[(2 * e + 1) * P] = is_C || ZOH ? v.y : v.y * LN2; }
    }
    __syncthreads();
    if (tile > first) fetch(tile - 1);
    if (tile < last - 1) sum_warps(tile + 1);
    const float *const pd = sd + c0 * P, *const pu = su + c0 * P, *const pg = sg + c0 * P;

    {  // 2. replay
      float h[K][S];
      UNROLL for (int k = 0; k < K; k++) UNROLL for (int s = 0; s < S; s++) h[k][s] = h0[k][s];
      #pragma unroll 1
      for (int m = 0; m < top; m++) {
        float b[S][T], d[K][T], x[K][T];
        UNROLL for (int s = 0; s < S; s++) load_vector<T>(b[s], &sB[n[s] * P + m * T]);
        UNROLL for (int k = 0; k < K; k++) { load_vector<T>(d[k], pd + 8 * k * P + m * T); load_vector<T>(x[k], pu + 8 * k * P + m * T); }
        UNROLL for (int t = 0; t < T; t++) UNROLL for (int k = 0; k < K; k++) UNROLL for (int s = 0; s < S; s++) {
          const float e = d[k][t] * A[k][s], a = ex2(e);
          float in = x[k][t] * b[s][t];
          if constexpr (ZOH) in *= zoh_weight(e, a, d[k][t] * LN2);
          h[k][s] = fmaf(h[k][s], a, in);
        }
        UNROLL for (int k = 0; k < K; k++) store_vector<S>(shared + SUB + ((m * K + k) * THREADS + tid) * S, h[k]);
      }
    }

    #pragma unroll 1
    for (int m = top; m >= 0; m--) {  // 3. backward
      float h[K][S][T + 1], a[K][S][T], x[K][T], d[K][T], b[S][T], c[S][T], gy[K][T];
      float y[K / 2][4] = {}, du[K / 2][4] = {}, da[K / 2][4] = {};
      UNROLL for (int k = 0; k < K; k++) { load_vector<T>(d[k], pd + 8 * k * P + m * T); load_vector<T>(x[k], pu + 8 * k * P + m * T); }
      UNROLL for (int s = 0; s < S; s++) { load_vector<T>(b[s], &sB[n[s] * P + m * T]); load_vector<T>(c[s], &sC[n[s] * P + m * T]); }
      UNROLL for (int k = 0; k < K; k++) {
        float v[S];
        if (m > 0) load_vector<S>(v, shared + SUB + (((m - 1) * K + k) * THREADS + tid) * S);
        UNROLL for (int s = 0; s < S; s++) h[k][s][0] = m > 0 ? v[s] : h0[k][s];
      }
      UNROLL for (int t = 0; t < T; t++) {
        float yy[K];
        UNROLL for (int k = 0; k < K; k++) UNROLL for (int s = 0; s < S; s++) {
          const float e = d[k][t] * A[k][s];
          a[k][s][t] = ex2(e);
          float in = x[k][t] * b[s][t];
          if constexpr (ZOH) in *= zoh_weight(e, a[k][s][t], d[k][t] * LN2);
          const float v = fmaf(h[k][s][t], a[k][s][t], in);
          h[k][s][t + 1] = v;
          yy[k] = s ? fmaf(v, c[s][t], yy[k]) : v * c[s][t];
        }
        const float one = q == t ? 1.f : 0.f;
        if constexpr (GATED) UNROLL for (int j = 0; j < K / 2; j++) sum_lanes(y[j], yy[2 * j], yy[2 * j + 1], one);
      }
      UNROLL for (int k = 0; k < K; k++) load_vector<T>(gy[k], pg + 8 * k * P + m * T);
      UNROLL for (int t = T - 1; t >= 0; t--) {
        float dB[S], dC[S], gu[K], gt[K];
        UNROLL for (int k = 0; k < K; k++) UNROLL for (int s = 0; s < S; s++) {
          const float gg = fmaf(c[s][t], gy[k][t], ga[k][s]);
          float gw = gg;  // g times the weight of u B
          if constexpr (ZOH) gw *= zoh_weight(d[k][t] * A[k][s], a[k][s][t], d[k][t] * LN2);
          gu[k] = s ? fmaf(gw, b[s][t], gu[k]) : gw * b[s][t];
          dB[s] = k ? fmaf(gw, x[k][t], dB[s]) : gw * x[k][t];
          dC[s] = k ? fmaf(h[k][s][t + 1], gy[k][t], dC[s]) : h[k][s][t + 1] * gy[k][t];
          ga[k][s] = gg * a[k][s][t];
          const float gh = ga[k][s] * h[k][s][t];
          gt[k] = s ? fmaf(gh, A[k][s], gt[k]) : gh * A[k][s];
          dA[k][s] = fmaf(gh, d[k][t], dA[k][s]);
          if constexpr (ZOH) {
            const float in = x[k][t] * b[s][t];
            gt[k] = fmaf(ga[k][s], in, gt[k]);
            dA[k][s] = fmaf(gg * zoh_slope(d[k][t] * A[k][s], a[k][s][t], d[k][t] * LN2) * LOG2E, in, dA[k][s]);  // LN2 below
          }
        }
        const float one = q == t ? 1.f : 0.f;
        UNROLL for (int j = 0; j < K / 2; j++) { sum_lanes(du[j], gu[2 * j], gu[2 * j + 1], one); sum_lanes(da[j], gt[2 * j], gt[2 * j + 1], one); }
        UNROLL for (int v = S / 2; v >= 1; v >>= 1) UNROLL for (int i = 0; i < v; i++) {
          dB[i] += shuffle(dB[i + v], v * LANES);
          dC[i] += shuffle(dC[i + v], v * LANES);
        }
        const bool high = lane & 16;
        const float send = high ? dB[0] : dC[0], keep = high ? dC[0] : dB[0];
        red[(w * TILE + m * T + t) * 32 + lane] = keep + shuffle(send, 16);
      }
      __syncwarp();  // sums go where other lanes have read their inputs
      if (2 * g < T) UNROLL for (int j = 0; j < K / 2; j++) {
        const int o = (c0 + 16 * j) * P + m * T + 2 * g;
        if constexpr (GATED) { *(float2*)&sy[o] = make_float2(y[j][0], y[j][1]); *(float2*)&sy[o + 8 * P] = make_float2(y[j][2], y[j][3]); }
        *(float2*)&sdu[o] = make_float2(du[j][0], du[j][1]); *(float2*)&sdu[o + 8 * P] = make_float2(du[j][2], du[j][3]);
        *(float2*)&sda[o] = make_float2(da[j][0], da[j][1]); *(float2*)&sda[o + 8 * P] = make_float2(da[j][2], da[j][3]);
      }
    }
    __syncwarp();

    {  // 4. finish
      float d[2][ITEM], gw[2][ITEM], gt[2][ITEM], y[2][ITEM];
      UNROLL for (int e = 0; e < 2; e++) {
        load_vector<ITEM>(d[e], &sd[(cc + e) * P + tb]);
        load_vector<ITEM>(gw[e], &sdu[(cc + e) * P + tb]);
        load_vector<ITEM>(gt[e], &sda[(cc + e) * P + tb]);
        if constexpr (GATED) load_vector<ITEM>(y[e], &sy[(cc + e) * P + tb]);
      }
      UNROLL for (int j = 0; j < ITEM; j++) {
        const bool in = t0 + tb + j < steps;
        const int row = in || ORDERED ? position(tile, tb + j) : 0;
        if constexpr (GROUP != 0) {
          const size_t at = (out + row) * p.channels + d0;
          const size_t plane = (size_t)gridDim.y * steps * p.channels;
          UNROLL for (int e = 0; e < 2; e++) if (in && cc + e < left) {
            float* part = p.partial + at + cc + e;
            if (GROUP > 1) { gw[e][j] += part[0]; gt[e][j] += part[plane]; if (GATED) y[e][j] += part[2 * plane]; }
            if (GROUP < 3) { part[0] = gw[e][j]; part[plane] = gt[e][j]; if (GATED) part[2 * plane] = y[e][j]; }
          }
          if constexpr (GROUP < 3) continue;
        }
        const float2 U = load2(raw + j * CH), G = load2(raw + 2 * RAW + j * CH);
        const float uu[2] = {U.x, U.y}, gg[2] = {G.x, G.y};
        float zz[2], ru[2], rt[2], rz[2], ry[2];
        float2 open_gate = {0, 0};
        if constexpr (GATED) {
          const float2 Z = load2(raw + 3 * RAW + j * CH);
          zz[0] = Z.x; zz[1] = Z.y;
          open_gate = EXACT ? sigmoid(Z) : load2(raw + RAW + j * CH);
        }
        UNROLL for (int e = 0; e < 2; e++) {
          float gy = gg[e];
          if constexpr (GATED) {
            const float s = e ? open_gate.y : open_gate.x;
            const float open = fmaf(D[e], uu[e], y[e][j]) * s;
            rz[e] = gg[e] * open * fmaf(zz[e], 1.f - s, 1.f);
            ry[e] = open * zz[e];
            gy *= zz[e] * s;
          }
          ru[e] = fmaf(D[e], gy, ZOH ? gw[e][j] : gw[e][j] * d[e][j]);
          rt[e] = ZOH ? gt[e][j] : fmaf(gw[e][j] * uu[e], LOG2E, gt[e][j]);
          if constexpr (SOFTPLUS && EXACT) {
            const float2 R = load2(raw + RAW + j * CH);
            rt[e] *= rcp(1.f + ex2(-fmaf(e ? R.y : R.x, LOG2E, bias[e])));
          } else if constexpr (SOFTPLUS) rt[e] *= 1.f - ex2(-d[e][j]);
          dD[e] = fmaf(gy, uu[e], dD[e]);
          db[e] += in ? rt[e] : 0.f;  // beyond `top` the sums are not there
        }
        const size_t at = own + (size_t)row * p.channels;  // all results lie alike: no pointer of each is held
        auto put = [&](IO* to, float (&v)[2]) {
          if constexpr (VECTOR) store2_if(in && cc < left, to + at, float2{v[0], v[1]});
          else if (in) store_pair(to + at, 0, left - cc, float2{v[0], v[1]});
        };
        put(p.gu, ru);
        put(p.gdt, rt);
        if constexpr (GATED) put(p.gz, rz);
        if constexpr (AGAIN) put(p.y, ry);
      }
    }
    if (tile == first) { __syncthreads(); sum_warps(tile); }
    __syncwarp();
  }

  // by_chunk row: dA (channels, 16), dD (channels), dbias (channels)
  float* const row = p.by_chunk + chunk * p.channels * (N + 2);
  UNROLL for (int k = 0; k < K; k++) UNROLL for (int s = 0; s < S; s++)
    if (d0 + c0 + 8 * k < p.channels) row[(size_t)(d0 + c0 + 8 * k) * N + n[s]] = dA[k][s] * (p.A_kind & 4 ? LN2 * A[k][s] : LN2);
  UNROLL for (int v = OWN / 2; v < 32; v <<= 1) UNROLL for (int e = 0; e < 2; e++) { dD[e] += shuffle(dD[e], v); db[e] += shuffle(db[e], v); }
  if (lane < OWN / 2) UNROLL for (int e = 0; e < 2; e++) if (cc + e < left) {
    row[(size_t)p.channels * N + d0 + cc + e] = dD[e];
    row[(size_t)p.channels * (N + 1) + d0 + cc + e] = db[e];
  }
}
