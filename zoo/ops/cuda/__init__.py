"""CUDA C++ kernels without a compiler on the machine: NVRTC builds, a cache on disk keeps, the driver runs them."""
