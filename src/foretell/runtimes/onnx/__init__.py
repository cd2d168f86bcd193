"""The ONNX runtime: models in the open exchange format, run by onnxruntime.

Importing this package does not import onnxruntime.
"""

from foretell.runtimes.onnx.runtime import OnnxRuntime, runtime

__all__ = ["OnnxRuntime", "runtime"]
