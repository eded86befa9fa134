"""What outlives the process: the cache folder, its locks, and names that mean the same in every process.

The loader, the tuning, the choice of a BLAS and the prefix cache's tier on disk keep their files by it. It
must not know what is in them, nor import mlx: kernels of the BLAS are chosen before.
"""
