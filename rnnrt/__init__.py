"""rnnrt: Keras recurrent models from one compact file, run from C kernels."""
