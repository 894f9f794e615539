"""Training with every weight, gradient and moment spread over the processes (FSDP2): each holds a part and gathers a level when it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map_only

from covog.unet import Level


def shard(model: nn.Module, device: torch.device, dtype: torch.dtype) -> dict[str, nn.Parameter]:
    """Spread a model over all processes and return its trained weights by name; what is gathered is rounded to `dtype`.

    Trained weights stay in single precision, as the optimizer wants them.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for module in [*(m for m in model.modules() if isinstance(m, Level)), model]:
        fully_shard(module, mesh=mesh, mp_policy=policy)
    # As of DDP: accelerate calls it for all but the last of the batches whose gradients are added.
    model.no_sync = partial(_without_sharing, model)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@contextmanager
def _without_sharing(model: FSDPModule) -> Iterator[None]:
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Hold the whole of a model in every process within the block, so that each may use it without the others."""
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in parts:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in parts:
            module.reshard()
            module.set_reshard_after_forward(module is not model, recurse=False)


def whole(values: Any) -> Any:
    """Return nested containers with whole tensors for spread ones; all processes call it together."""
    return tree_map_only(DTensor, lambda value: value.full_tensor(), values)


def whole_on_main(values: Any, is_main: bool) -> Any:
    """Return nested containers with whole tensors on the main process's CPU for spread ones, None on the others.

    One is gathered after the other, as all together would not fit where only the parts do. All processes call it together.
    """

    def taken(value: DTensor) -> Tensor | None:
        gathered = value.full_tensor()
        return gathered.cpu() if is_main else None

    return tree_map_only(DTensor, taken, values)


def part_of(value: Any, kept: Tensor) -> Any:
    """Return what this process holds of a whole tensor that is spread as `kept` is; anything else as it is."""
    if not isinstance(kept, DTensor) or not isinstance(value, Tensor) or value.shape != kept.shape:
        return value
    return distribute_tensor(value.to(kept.device), kept.device_mesh, kept.placements, src_data_rank=None)


def state_of(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Return a whole state as an optimizer of spread weights, or of whole ones, loads it."""
    kept = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {n: {name: part_of(v, kept[n]) for name, v in of.items()} for n, of in state["state"].items()}
    return state | {"state": moments}
