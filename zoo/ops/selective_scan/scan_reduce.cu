// dB and dC: the sum over the blocks of scan_backward.cu, in a fixed order: the same bits in every run.
//
// Macros: IO_KIND STATE ZOH
#include "device.cuh"

struct Params {  // the same order in cuda.py
  const float* by_block;
  IO *gB, *gC;
  long long positions;
  int blocks, n0;
};

// dB, dC: a warp a position, over the channel blocks. Lane 4 q + g of scan_backward holds state 4 g + q % 4, C from q = 4 up.
extern "C" __global__ void __launch_bounds__(256) reduce_blocks(const __grid_constant__ Params p) {
  const int lane = threadIdx.x & 31, n = p.n0 + lane % 4 * 4 + lane / 4 % 4;
  const size_t at = (size_t)blockIdx.x * 8 + threadIdx.x / 32;
  if (at >= p.positions) return;
  const float* from = p.by_block + at * p.blocks * 32 + lane;
  float v = 0.f;
  #pragma unroll 16
  for (int i = 0; i < p.blocks; i++) v += from[i * 32];
  if (!ZOH && lane < 16) v *= LN2;  // the units of scan_backward.cu
  if (n < STATE) store1((lane & 16 ? p.gC : p.gB) + at * STATE + n, v);
}
