// Selective scan, forward: y = (sum_n h_n C_n + D u) silu(z),  h_n = exp(dt A_n) h_n + W_n u B_n.
//
// A block owns CHANNELS channels of one sequence (one row of the order of one sample) and walks its steps in tiles of STEPS.
// Its warps have two roles, so that memory, special functions and the recurrence overlap:
//   producers  each owns one stage of shared memory. For tile i it turns raw dt, u, B into what the recurrence wants
//              (float32, transposed to step-minor rows), marks the stage full, and then finishes tile i - PRODUCERS, whose
//              sums over states the consumers left in the same stage: D skip, gate, store. Raw rows arrive by cp.async,
//              two tiles ahead, gathered through the order; results are scattered through it. No copy is ever permuted.
//   consumers  a warp owns 16 channels and 16 / SPLIT states, a lane one channel and half of those states. Each adds up
//              h C over its own states; the producer adds the lanes' sums.
// SPLIT > 1 gives a block more warps where there are few channels.
// Exponentials are 2^x: dt is kept in units of ln 2, B multiplied by ln 2, so A needs no factor (euler).
// Steps after the end read zeros: they change h, which nobody reads any more, and are not stored.
// More than 16 states: one launch per 16 (GROUP: 0 only, 1 first, 2 middle, 3 last); `partial` carries the sum.
//
// Macros: IO_KIND (0 float, 1 bf16, 2 fp16) CHANNELS SPLIT PRODUCERS STEPS STEP_UNROLL MIN_BLOCKS STATE GROUP ORDERED VECTOR GATED SOFTPLUS ZOH
//         TAIL (1: the last tile of more ends in its first 8 steps, so the others are left out) DIRECTIONS
#include "device.cuh"

struct Params {  // the same order in cuda.py
  const IO *u, *dt, *z, *B, *C;
  const void *A, *D, *bias;
  const int* order;
  IO* y;
  KEPT* states;
  float* partial;
  const float* h_in;
  long long u_batch, dt_batch, z_batch, B_batch, C_batch;
  int u_row, dt_row, z_row, B_row, C_row, y_row;  // bytes
  int steps, rows, channels, n0, A_kind, D_kind, bias_kind, chunk_tiles;
#if DIRECTIONS
  Directions next;
#endif
};

constexpr int T = STEPS, CH = CHANNELS, N = 16, PARTS = 2 * SPLIT, S = N / PARTS, CONSUMERS = CH / 16 * SPLIT, UNROLLED = STEP_UNROLL;
constexpr bool EXACT = IO_KIND != 1;
constexpr bool WHOLE = STATE % N == 0;         // every group has 16 states
constexpr int CHECKPOINT = 16;                 // steps between kept states
constexpr int P = T + 4;                       // pitch of a row of steps: rows start 4 banks apart
constexpr int HALF = CH / 2 * P + 16;          // odd channels lie here: the 8 channels of a consumer's load hit all banks
constexpr int PLANE = CH * P + 32, PART = PLANE + 8;  // of inputs; of partial sums, so that both lanes of a channel write elsewhere
constexpr int DT = 0, DU = PLANE, SUM = 2 * PLANE, BT = SUM + PARTS * PART, CT = BT + N * P + 8, STAGE = CT + N * P + 8;  // floats
constexpr int W = 16 / sizeof(IO);             // elements of a 16-byte copy
constexpr int TP = T + T / 4;                  // a raw tile has a spare row after every 4: spreads banks
constexpr int RAW_DT = TP * CH, RAW_Z = 2 * RAW_DT, RAW_B = RAW_Z + GATED * TP * CH;  // elements, u first
constexpr int RAW_C = RAW_B + TP * N, RAW = RAW_C + TP * N;
constexpr int RAW_SLOTS = 3, RING = 8;         // raw tiles, and tiles of positions, that a producer keeps
constexpr int COPIES = T * CH / W / 32, COPIES_N = 2 * T * (N / W) / 32;  // 16-byte copies of a lane: of a sequence, of B and C
constexpr int ITEMS = CH * T / 8 / 32;         // a producer lane's share of a tile: ITEMS x 2 channels x 4 steps
static_assert(ITEMS >= 1 && CH * T % 256 == 0 && T % 8 == 0 && CHECKPOINT % T == 0 || T % CHECKPOINT == 0, "tile");

INLINE int channel_row(int c) { return (c & 1) * HALF + (c >> 1) * P; }
INLINE int state_row(int n) { return n * P + n / 8 * 4; }  // the states of both lanes of a channel in other banks
INLINE int raw_row(int t) { return t + (t >> 2); }

// (exp(dt A) - 1) / A from x = dt A / ln 2, a = 2^x, d = dt / ln 2, 1 / A
INLINE float zoh_weight(float x, float a, float d, float inv_A) {
  const float s = x * LN2;
  const float series = d * LN2 * fmaf(s, fmaf(s, fmaf(s, fmaf(s, 1.f / 120, 1.f / 24), 1.f / 6), .5f), 1.f);
  return fabsf(s) < 0.15f ? series : (a - 1.f) * inv_A;
}

INLINE void consume(const Params& p, float* stages, barrier_t* full, barrier_t* done, int first, int tiles) {
  constexpr int SIDE = S < 4 ? S : 4;  // states side by side
  const int lane = threadIdx.x & 31, w = threadIdx.x >> 5, half = lane & 1, part = w % SPLIT, c0 = w / SPLIT * 16 + (lane >> 1);
  const int c = min((int)(blockIdx.x * CH + c0), p.channels - 1), n0 = part * (N / SPLIT) + half * S;
  float a[S], h[S], inv[S];
  UNROLL for (int s = 0; s < S; s++) {
    const int n = p.n0 + n0 + s;
    a[s] = WHOLE || n < STATE ? decay_rate(p.A, p.A_kind, (size_t)c * STATE + n) : 0.f;
    h[s] = 0.f;
    if (p.h_in && (WHOLE || n < STATE)) h[s] = p.h_in[(((size_t)blockIdx.y * gridDim.z + blockIdx.z) * p.channels + c) * STATE + n];
    if constexpr (ZOH) inv[s] = 1.f / a[s];
  }
  const size_t chunks = (p.steps + CHECKPOINT - 1) / CHECKPOINT;
  KEPT* const states = p.states + (blockIdx.y * chunks * p.channels + c) * STATE + p.n0 + n0;
  int slot = 0, parity = 0;
  for (int i = 0; i < tiles; i++) {
    const int t0 = (first + i) * T;
    if (p.states && t0 % CHECKPOINT == 0 && blockIdx.x * CH + c0 < p.channels) {
      KEPT* to = states + (long long)(t0 / CHECKPOINT) * (p.channels * STATE);
      if constexpr (WHOLE) keep_vector<S>(to, h);
      else UNROLL for (int s = 0; s < S; s++) if (p.n0 + n0 + s < STATE) store1(to + s, h[s]);
    }
    barrier_wait(full + slot, parity);
    float* stage = stages + slot * STAGE;
    const float *dt = stage + DT + channel_row(c0), *du = stage + DU + channel_row(c0);
    const float *Bt = stage + BT + state_row(n0), *Ct = stage + CT + state_row(n0);
    float* sum = stage + SUM + (2 * part + half) * PART + channel_row(c0);
    #pragma unroll UNROLLED
    for (int t8 = 0; t8 < T; t8 += 8) {
      if (TAIL && t8 && t0 + t8 >= p.steps) break;
      UNROLL for (int t = t8; t < t8 + 8; t += 4) {
        float d[4], x[4], y[4];
        load_vector<4>(d, dt + t);
        load_vector<4>(x, du + t);
        UNROLL for (int s0 = 0; s0 < S; s0 += SIDE) {
          float b[SIDE][4], c[SIDE][4];
          UNROLL for (int s = 0; s < SIDE; s++) { load_vector<4>(b[s], Bt + (s0 + s) * P + t); load_vector<4>(c[s], Ct + (s0 + s) * P + t); }
          UNROLL for (int j = 0; j < 4; j++) UNROLL for (int i = 0; i < SIDE; i++) {
            const int s = s0 + i;
            const float e = d[j] * a[s], decay = ex2(e);
            float in = x[j] * b[i][j];
            if constexpr (ZOH) in *= zoh_weight(e, decay, d[j], inv[s]);
            h[s] = fmaf(h[s], decay, in);
            y[j] = s ? fmaf(h[s], c[i][j], y[j]) : h[s] * c[i][j];
          }
        }
        store_vector<4>(sum + t, y);
      }
    }
    barrier_arrive(done + slot);
    if (++slot == PRODUCERS) { slot = 0; parity ^= 1; }
  }
}

INLINE void produce(const Params& p, float* stages, IO* raw_all, int* ring, barrier_t* full, barrier_t* done, int first, int tiles) {
  const int lane = threadIdx.x & 31, own = (threadIdx.x >> 5) - CONSUMERS, d0 = blockIdx.x * CH;
  const int sample = blockIdx.y / p.rows, steps = p.steps, left = p.channels - d0;
  const int* order = p.order + (size_t)(blockIdx.y % p.rows) * steps;
  const int copy_t = lane / (CH / W), copy_c = lane % (CH / W) * W;  // this lane's part of a copy of sequences
  static_assert(32 % (CH / W) == 0 && 32 % (N / W) == 0, "every copy of a lane has the same columns");
  const int have = left - copy_c, n_c = lane % (N / W) * W, have_n = WHOLE ? W : STATE - p.n0 - n_c;
  const IO *u = p.u + sample * p.u_batch + d0 + copy_c, *dt = p.dt + sample * p.dt_batch + d0 + copy_c;
  const IO *z = p.z + sample * p.z_batch + d0 + copy_c;
  const IO *B = p.B + sample * p.B_batch + p.n0 + n_c, *C = p.C + sample * p.C_batch + p.n0 + n_c;
  const size_t out = (size_t)sample * steps * p.rows;
  IO* const mine = raw_all + (size_t)own * RAW_SLOTS * RAW;
  ring += own * RING * T;

  // Positions of the producer's k-th tile come two copies ahead of that tile, so no load waits for another.
  auto step_of = [&](int k) { return (first + own + k * PRODUCERS) * T; };
  auto fetch_positions = [&](int k) {
    if (ORDERED && lane < T) copy4(ring + k % RING * T + lane, order + min(step_of(k) + lane, steps - 1));
  };
  auto position = [&](int k, int t) { return ORDERED ? ring[k % RING * T + t] : step_of(k) + t; };
  int copy_row[COPIES], copy_row_n[COPIES_N];  // positions of this lane's copies of the next tile, read long before they are needed
  auto read_positions = [&](int k) {
    if constexpr (!ORDERED) return;
    UNROLL for (int i = 0; i < COPIES; i++) copy_row[i] = position(k, copy_t + i * (32 * W / CH));
    UNROLL for (int i = 0; i < COPIES_N; i++) copy_row_n[i] = position(k, (lane + 32 * i) / (N / W) % T);
  };
  auto fetch = [&](int k, int slot) {  // raw rows of the k-th tile, asynchronously
    const int t0 = step_of(k);
    IO* raw = mine + slot * RAW;
    UNROLL for (int i = 0; i < T * (CH / W); i += 32) {
      const int t = copy_t + i / (CH / W);
      const bool in = t0 + t < steps;
      const int row = ORDERED ? copy_row[i / 32] : in ? t0 + t : 0, valid = in ? have : 0;
      IO* to = raw + raw_row(t) * CH + copy_c;
      copy16<VECTOR>(to, row_at(u, row, p.u_row), valid);
      copy16<VECTOR>(to + RAW_DT, row_at(dt, row, p.dt_row), valid);
      if constexpr (GATED) copy16<VECTOR>(to + RAW_Z, row_at(z, row, p.z_row), valid);
    }
    UNROLL for (int j = lane; j < 2 * T * (N / W); j += 32) {
      const int t = j / (N / W) % T;
      const bool in = t0 + t < steps, is_C = j >= T * (N / W);
      const int row = ORDERED ? copy_row_n[j / 32] : in ? t0 + t : 0;
      copy16<VECTOR>(raw + (is_C ? RAW_C : RAW_B) + raw_row(t) * N + n_c, row_at(is_C ? C : B, row, is_C ? p.C_row : p.B_row), in ? have_n : 0);
    }
    fetch_positions(k + 2);
    copy_commit();
  };
  fetch_positions(0);
  fetch_positions(1);
  copy_commit();
  copy_wait<0>();
  __syncwarp();
  read_positions(0);
  fetch(0, 0);
  read_positions(1);
  fetch(1, 1);

  float* stage = stages + own * STAGE;
  // All items of a lane have the same channels.
  const int c = 2 * (lane % (CH / 2));
  static_assert(32 % (CH / 2) == 0, "");
  float bias[2], D[2];
  UNROLL for (int e = 0; e < 2; e++) {
    bias[e] = parameter(p.bias, p.bias_kind, min(d0 + c + e, p.channels - 1)) * LOG2E;
    D[e] = parameter(p.D, p.D_kind, min(d0 + c + e, p.channels - 1));
  }
  IO* const y = p.y + out * p.channels + d0 + c;
  int slot = 0, round = 0;
  // No step is left out in the first round, which has nothing to finish, and in the last, which has nothing to prepare: a
  // branch would keep the assembler from mixing what is before it with what is after.
  for (int i = own; i < tiles + PRODUCERS; i += PRODUCERS, round++) {
    const int old = slot == 0 ? RAW_SLOTS - 1 : slot - 1;
    copy_wait<1>();
    __syncwarp();
    const IO* raw = mine + slot * RAW;
    float d[ITEMS][2][4], x[ITEMS][2][4], v[ITEMS][2][4];
    UNROLL for (int m = 0; m < ITEMS; m++) {
      const int t = 4 * ((lane + 32 * m) / (CH / 2));
      UNROLL for (int j = 0; j < 4; j++) {
        const IO* from = raw + (raw_row(t) + j) * CH + c;
        const float2 u2 = load2(from), r2 = load2(from + RAW_DT);
        const float r[2] = {fmaf(r2.x, LOG2E, bias[0]), fmaf(r2.y, LOG2E, bias[1])}, uu[2] = {u2.x, u2.y};
        UNROLL for (int e = 0; e < 2; e++) {
          d[m][e][j] = SOFTPLUS ? softplus2<EXACT>(r[e]) : r[e];
          x[m][e][j] = ZOH ? uu[e] : d[m][e][j] * uu[e];
        }
      }
    }
    barrier_wait(done + own, (round - 1) & 1);  // in the first round there is nothing to wait for
    UNROLL for (int m = 0; m < ITEMS; m++) {
      const int t = 4 * ((lane + 32 * m) / (CH / 2));
      UNROLL for (int e = 0; e < 2; e++) {
        store_vector<4>(stage + DT + channel_row(c + e) + t, d[m][e]);
        store_vector<4>(stage + DU + channel_row(c + e) + t, x[m][e]);
      }
    }
    UNROLL for (int m = 0; m < ITEMS; m++) {  // sums of the stage's last tile, before consumers overwrite them
      const int t = 4 * ((lane + 32 * m) / (CH / 2));
      UNROLL for (int e = 0; e < 2; e++) {
        const float* from = stage + SUM + channel_row(c + e) + t;
        load_vector<4>(v[m][e], from);
        UNROLL for (int s = 1; s < PARTS; s++) {
          float more[4];
          load_vector<4>(more, from + s * PART);
          UNROLL for (int j = 0; j < 4; j++) v[m][e][j] += more[j];
        }
      }
    }
    UNROLL for (int j = lane; j < T * 2; j += 32) {
      const int n = 2 * (j % 8), t = 4 * (j / 8);
      float b[2][4], c[2][4];
      UNROLL for (int e = 0; e < 4; e++) {
        const int at = (raw_row(t) + e) * N + n;
        const float2 f = load2(raw + RAW_B + at), g = load2(raw + RAW_C + at);
        b[0][e] = ZOH ? f.x : f.x * LN2; b[1][e] = ZOH ? f.y : f.y * LN2;
        c[0][e] = g.x; c[1][e] = g.y;
      }
      UNROLL for (int e = 0; e < 2; e++) {
        store_vector<4>(stage + BT + state_row(n + e) + t, b[e]);
        store_vector<4>(stage + CT + state_row(n + e) + t, c[e]);
      }
    }
    barrier_arrive(full + own);
    read_positions(round + 2);
    // finish tile i - PRODUCERS; its raw rows are still there
    const int t0 = step_of(round - 1), end = i >= PRODUCERS ? steps : t0 - T;
    const IO* raw2 = mine + old * RAW;
    UNROLL for (int m = 0; m < ITEMS; m++) {
      const int t = 4 * ((lane + 32 * m) / (CH / 2));
      float2 result[4];
      int row[4];
      if constexpr (ORDERED) *(int4*)row = *(const int4*)(ring + (round + RING - 1) % RING * T + t);
      else UNROLL for (int j = 0; j < 4; j++) row[j] = t0 + t + j;
      UNROLL for (int j = 0; j < 4; j++) {
        const IO* from = raw2 + (raw_row(t) + j) * CH + c;
        float2 s = {v[m][0][j], v[m][1][j]};
        float* part = p.partial + (out + row[j]) * p.channels + d0 + c;
        if constexpr (GROUP > 1) if (t0 + t + j < end) { if (c < left) s.x += part[0]; if (c + 1 < left) s.y += part[1]; }
        if constexpr (GROUP == 1 || GROUP == 2) { if (t0 + t + j < end) store_pair(part - c, c, left, s); continue; }
        const float2 u2 = load2(from);
        s = {fmaf(D[0], u2.x, s.x), fmaf(D[1], u2.y, s.y)};
        if constexpr (GATED) {
          const float2 z2 = load2(from + RAW_Z);
          s = {s.x * z2.x * sigmoid(z2.x), s.y * z2.y * sigmoid(z2.y)};
        }
        result[j] = s;
      }
      if constexpr (GROUP == 0 || GROUP == 3) UNROLL for (int j = 0; j < 4; j++) {
        IO* const to = row_at(y, row[j], p.y_row);
        if constexpr (VECTOR) store2_if(t0 + t + j < end && c < left, to, result[j]);
        else if (t0 + t + j < end) store_pair(to, 0, left - c, result[j]);
      }
    }
    __syncwarp();
    fetch(round + 2, old);
    slot = slot == RAW_SLOTS - 1 ? 0 : slot + 1;
  }
}

extern "C" __global__ void __launch_bounds__((CONSUMERS + PRODUCERS) * 32, MIN_BLOCKS) scan_forward(const __grid_constant__ Params all) {
#if DIRECTIONS
  Params p = all;
  move(p.D, to_direction(p, blockIdx.y), p.next.D);
#else
  const Params& p = all;
#endif
  extern __shared__ __align__(16) float stages[];
  __shared__ barrier_t full[PRODUCERS], done[PRODUCERS];
  __shared__ __align__(16) int ring[ORDERED ? PRODUCERS * RING * T : 1];
  const int first = blockIdx.z * p.chunk_tiles, tiles = min((p.steps + T - 1) / T - first, p.chunk_tiles);
  // Every lane arrives for itself: no slower than one for its warp, and racecheck follows it.
  if (threadIdx.x < PRODUCERS) { barrier_init(full + threadIdx.x, 32); barrier_init(done + threadIdx.x, 32 * CONSUMERS); }
  __syncthreads();
  if (threadIdx.x < CONSUMERS * 32) consume(p, stages, full, done, first, tiles);
  else produce(p, stages, (IO*)(stages + PRODUCERS * STAGE), ring, full, done, first, tiles);
}
