"""Kernels, one a file: a numpy definition and a compiled version with the same name and the same result.

``<name>_numpy`` is the definition; ``<name>(..., backend=None)`` runs it, Numba on the processor (the default) or Numba
on a CUDA device; a backend that is not there is an error. Trains of spikes come as ``flat`` and ``offsets`` and are
checked by ``_trains.py``; ``_threads.py`` shares rows out over threads, so that results are the same for any number.

A file with CUDA kernels names them, so that a test can compile each to PTX without a device::

    PTX_SIGNATURES = {_bin_cuda: (float64[::1], int32[::1], float64, float64, int32[:, ::1])}   # numba types, in order

The keys are the objects that ``@cuda.jit`` returned, or their names in the module; the values are tuples of the types
of their arguments, or text such as ``"void(f8[::1], i4[::1], f8, f8, i4[:, ::1])"``, or lists of several. Where
kernels are made at run time PTX_SIGNATURES is a function without arguments that makes some and returns such a
dictionary.

Tests of what they compute stand in ``tests/kernels/cuda/test_<name>.py`` and use at most some tens of threads: they run
in Numba's simulator too, which has no warp shuffles and takes about 0.2 ms a thread. Code that runs on a device may call
functions made by ``njit`` on numbers (one body for both), and functions on arrays made by ``cuda.jit(device=True)``.
Numba's built-in CUDA target does not compile ``min`` and ``max`` of two numbers (the simulator runs them): write
``a if a < b else b`` there.
"""
