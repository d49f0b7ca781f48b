"""CUDA C++ kernels without a compiler on the machine: NVRTC builds them, a cache on disk keeps them, the driver runs them."""
