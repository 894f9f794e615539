"""Networks of ONNX files, run by ONNX Runtime: on the job's GPU if it was given one and ONNX Runtime can use it, else on one thread."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from talking.core import processors

# Pictures that a GPU looks at together; a CPU gains nothing from it.
_TOGETHER_ON_GPU = 16
_ON_GPU = "CUDAExecutionProvider"


def opened(model: str | Path | bytes, may_use_gpu: bool = True):
    """Return ONNX Runtime's session of a file, or of a file's content; what is wrong with it raises ONNX Runtime's own errors."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    usable = ["CPUExecutionProvider"]
    # Without a GPU that the job may see, ONNX Runtime would complain and run on processors.
    if may_use_gpu and _ON_GPU in onnxruntime.get_available_providers() and processors.gpu_given():
        usable.insert(0, _ON_GPU)
    return onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=usable)


def at_once(session) -> int:
    """Return how many pictures a session should be given together."""
    return _TOGETHER_ON_GPU if session.get_providers()[0] == _ON_GPU else 1


def taken_together(network: Callable[[Any], Any]) -> int:
    """Return how many items a network should be given at once, which it says in `at_once`; 1 if it says nothing."""
    return getattr(network, "at_once", 1)


def each_of(network: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Return what a network finds in each item: in one run by its method `together` where it gains from that."""
    if taken_together(network) > 1 and len(items) > 1:
        return list(network.together(items))
    return [network(item) for item in items]
