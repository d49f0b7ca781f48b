// What scan_backward.cu leaves in parts, added up in a fixed order: the same bits in every run. dB and dC are sums over its
// blocks, a warp a position; dA, dD and dbias are sums over its sequences and chunks, 32 of them a block of this kernel.
//
// Macros: IO_KIND STATE ZOH
#include "device.cuh"

struct Params {  // the same order in cuda.py
  const float *by_block, *by_chunk;
  IO *gB, *gC;
  float *gA, *gD, *gbias;
  int positions, blocks, n0, chunks, channels, position_blocks, chunk_blocks;
};

// A warp reads what 4 blocks left. Lane 4 q + g of scan_backward.cu holds state 4 g + q % 4, C from q = 4 up.
INLINE void sum_blocks(const Params& p) {
  const int lane = threadIdx.x & 31, q = lane % 8;
  const long long at = p.positions - 1 - ((long long)blockIdx.x * 8 + threadIdx.x / 32);  // what was written last may still be in the cache
  if (at < 0) return;
  const float4* from = (const float4*)p.by_block + at * p.blocks * 8 + q;
  float4 v = {0, 0, 0, 0};
  #pragma unroll 12
  for (int i = lane / 8; i < p.blocks; i += 4) {
    const float4 x = from[i * 8];
    v.x += x.x; v.y += x.y; v.z += x.z; v.w += x.w;
  }
  float sums[4] = {v.x, v.y, v.z, v.w};
  UNROLL for (int g = 0; g < 4; g++) {
    UNROLL for (int by = 8; by < 32; by *= 2) sums[g] += __shfl_xor_sync(ALL, sums[g], by);
    const int n = p.n0 + 4 * g + q % 4;
    if (!ZOH && q < 4) sums[g] *= LN2;  // the units of scan_backward.cu
    if (lane < 8 && n < STATE) store1((q < 4 ? p.gB : p.gC) + at * STATE + n, sums[g]);
  }
}

// Rows of (channels, 16), channels and channels, each parameter's gradients of all sequences or of each direction's.
INLINE void sum_chunks(const Params& p) {
  const int block = blockIdx.x - p.position_blocks, direction = block / p.chunk_blocks, channels = p.channels;
  const int columns = 18 * channels, column = block % p.chunk_blocks * 32 + threadIdx.x % 32;
  float v;
  if (!sum_rows(v, p.by_chunk + (size_t)direction * p.chunks * columns, p.chunks, columns, column)) return;
  if (column < 16 * channels) p.gA[(size_t)direction * 16 * channels + column] = v;
  else if (column < 17 * channels) p.gD[direction * channels + column - 16 * channels] = v;
  else p.gbias[direction * channels + column - 17 * channels] = v;
}

extern "C" __global__ void __launch_bounds__(256) scan_reduce(const __grid_constant__ Params p) {
  if (blockIdx.x < p.position_blocks) sum_blocks(p);
  else sum_chunks(p);
}
