"""Which of its kernels OpenBLAS is to use, by measurement instead of by the processor's maker and model."""
