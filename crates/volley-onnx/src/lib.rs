//! The ONNX operators and kernels that tract lacks, and the plans that run them.
