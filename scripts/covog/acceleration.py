"""Making a training step quicker or smaller: the repeated blocks compiled or recomputed, and a step's work on the GPU captured
once.

None of it was measured on a GPU yet.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from covog.audio_driver import AudioBlock
from covog.config import Training
from covog.unet import MotionModule, ResnetBlock, SpatialTransformer
from talking.core.errors import InputError

if TYPE_CHECKING:
    from covog.trainer import Task

BLOCKS = ResnetBlock, SpatialTransformer, MotionModule, AudioBlock
# Forms (widths, sizes, numbers of people) that a kind of block may be compiled for: dynamo gives up after 8 by default.
_FORMS = 128
_WARM_UPS = 3
_ATEN = torch.ops.aten
# All that is as much work as a product of matrices.
_PRODUCTS = [
    *(_ATEN.mm.default, _ATEN.addmm.default, _ATEN.bmm.default, _ATEN.baddbmm.default, _ATEN.convolution.default),
    *(_ATEN._scaled_dot_product_flash_attention.default, _ATEN._scaled_dot_product_efficient_attention.default),
    *(_ATEN._scaled_dot_product_cudnn_attention.default, _ATEN._scaled_dot_product_flash_attention_for_cpu.default),
]


def compile_blocks(model: nn.Module, backend: str | Callable = "inductor") -> int:
    """Compile each of the repeated blocks as one graph of static shapes; return how many blocks there are.

    Blocks of the same kind and shapes share a graph. One that breaks, or a kind with too many forms, raises an error when it
    first runs: without that, dynamo would run it uncompiled and only warn.
    """
    torch._dynamo.config.recompile_limit = _FORMS
    torch._dynamo.config.accumulated_recompile_limit = _FORMS * len(BLOCKS)
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    blocks = [module for module in model.modules() if isinstance(module, BLOCKS)]
    for block in blocks:
        block.compile(backend=backend, fullgraph=True, dynamic=False)
    return len(blocks)


def recompute_blocks(model: nn.Module, keeps: str) -> None:
    """Let the backward pass compute the repeated blocks again from their inputs: all of it (`nothing` is kept), or what is cheap
    (`products`: outputs of matrix products, convolutions and attention are kept)."""
    how: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    if keeps == "products":
        how["context_fn"] = partial(create_selective_checkpoint_contexts, _PRODUCTS)

    def recomputed(forward: Callable, *given: Any, **named: Any) -> Any:
        return checkpoint(forward, *given, **named, **how) if torch.is_grad_enabled() else forward(*given, **named)

    for block in model.modules():
        if isinstance(block, BLOCKS):
            block.forward = partial(recomputed, block.forward)


class Graph:
    """Forward and backward pass of a task, captured once for each form of its tensors, and repeated with other contents.

    All draws come in as tensors of the task, so nothing of a step is decided inside.
    """

    def __init__(
        self,
        losses: Callable[[nn.Module, "Task"], tuple[torch.Tensor, torch.Tensor]],
        training: Training,
        accelerator: Accelerator,
    ) -> None:
        """Check that a graph can be captured. Raises InputError that says what it needs."""
        is_able = accelerator.device.type == "cuda" and accelerator.num_processes == 1
        if not is_able or training.mixed_precision != "bf16" or training.checkpointing:
            raise InputError(
                "cuda_graph needs one CUDA GPU, mixed_precision bf16 and no checkpointing; set cuda_graph: false."
            )
        self._losses, self._accelerator = losses, accelerator
        self._captured: dict[Any, tuple] = {}
        # One pool for all forms: what a graph gives is used up before another one is replayed.
        self._pool = torch.cuda.graph_pool_handle() if torch.cuda.is_available() else None

    def __call__(self, network: nn.Module, task: "Task") -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss and errors of a task; the gradients are those of the network's parameters."""
        tensors, form = tree_flatten(vars(task))
        key = (str(form), tuple((t.shape, t.dtype) if isinstance(t, torch.Tensor) else t for t in tensors))
        if key not in self._captured:
            self._captured[key] = self._capture(network, task)
        graph, held, out, gradients = self._captured[key]
        for mine, given in zip(held, tensors, strict=True):
            if isinstance(mine, torch.Tensor):
                mine.copy_(given)
        graph.replay()
        for parameter, gradient in gradients:
            parameter.grad = gradient
        return out

    def _capture(self, network: nn.Module, task: "Task") -> tuple:
        own = tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, vars(task))
        held, trained = type(task)(**own), [p for p in network.parameters() if p.requires_grad]

        def pass_once() -> tuple[torch.Tensor, torch.Tensor]:
            for parameter in trained:
                parameter.grad = None
            loss, errors = self._losses(network, held)
            (loss / self._accelerator.gradient_accumulation_steps).backward()
            return loss.detach(), errors

        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                pass_once()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            out = pass_once()
        gradients = [(p, p.grad) for p in trained if p.grad is not None]
        return graph, tree_flatten(own)[0], out, gradients
