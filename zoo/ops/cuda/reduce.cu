// Sum over rows in a fixed order: the same bits in every run. 32 columns a block. The sums of columns from `begin[i]` on go to
// `to[i]`.
#include "device.cuh"

struct Params {
  const float* from;
  float* to[3];
  int rows, columns, begin[3];
};

extern "C" __global__ void __launch_bounds__(256) reduce_rows(const __grid_constant__ Params p) {
  const int column = blockIdx.x * 32 + threadIdx.x % 32;
  float v;
  if (sum_rows(v, p.from, p.rows, p.columns, column)) {
    const int i = column >= p.begin[2] ? 2 : column >= p.begin[1] ? 1 : 0;
    p.to[i][column - p.begin[i]] = v;
  }
}
