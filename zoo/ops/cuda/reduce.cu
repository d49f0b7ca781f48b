// Sum over rows in a fixed order: the same bits in every run. 32 columns a block, rows dealt to its 8 warps. The sums of
// columns from `begin[i]` on go to `to[i]`.
#include "device.cuh"

struct Params {
  const float* from;
  float* to[3];
  int rows, columns, begin[3];
};

extern "C" __global__ void __launch_bounds__(256) reduce_rows(const __grid_constant__ Params p) {
  __shared__ float part[8][32];
  const int lane = threadIdx.x & 31, w = threadIdx.x >> 5, column = blockIdx.x * 32 + lane;
  float v = 0.f;
  if (column < p.columns) {
    #pragma unroll 4
    for (int i = w; i < p.rows; i += 8) v += p.from[(size_t)i * p.columns + column];
  }
  part[w][lane] = v;
  __syncthreads();
  if (w == 0 && column < p.columns) {
    UNROLL for (int i = 1; i < 8; i++) v += part[i][lane];
    const int i = column >= p.begin[2] ? 2 : column >= p.begin[1] ? 1 : 0;
    p.to[i][column - p.begin[i]] = v;
  }
}
