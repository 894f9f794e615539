"""Arithmetic in half precision with weights that are kept in single precision (Micikevicius et al., 2018).

The network computes in half precision throughout, without autocast: nothing is converted at each use. The optimizer changes a
copy of the trained weights in single precision, which is rounded into the network once a step.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.distributed.tensor import DTensor

DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Masters:
    """The trained weights as the optimizer sees them, beside those that the network computes with.

    `parameters` has the same names and order as `trained`; where the network computes in single precision they are the network's own.
    """

    def __init__(self, trained: dict[str, nn.Parameter], dtype: torch.dtype) -> None:
        """Keep the trained weights (single precision) and round the network's own to `dtype`."""
        self._own = list(trained.values())
        self.parameters = trained
        if dtype != torch.float32:
            self.parameters = {name: nn.Parameter(p.detach().clone()) for name, p in trained.items()}
            for parameter in self._own:
                parameter.data = parameter.data.to(dtype)

    @property
    def _are_copies(self) -> bool:
        return bool(self._own) and next(iter(self.parameters.values())) is not self._own[0]

    @torch.no_grad()
    def take_gradients(self) -> None:
        """Add the gradients of the network's own weights to those of the kept ones, and forget them there."""
        if not self._are_copies:
            return
        pairs = [(k, o) for k, o in zip(self.parameters.values(), self._own, strict=True) if o.grad is not None]
        first = [(k, o.grad) for k, o in pairs if k.grad is None]
        others = [(k.grad, o.grad) for k, o in pairs if k.grad is not None]
        for kept, _ in first:
            kept.grad = torch.empty_like(kept)
        if first:
            torch._foreach_copy_([kept.grad for kept, _ in first], [own for _, own in first])
        if others:
            torch._foreach_add_([kept for kept, _ in others], [own for _, own in others])
        for _, own in pairs:
            own.grad = None

    @torch.no_grad()
    def give_weights(self) -> None:
        """Round the kept weights into the network."""
        if self._are_copies:
            torch._foreach_copy_(self._own, list(self.parameters.values()))

    @contextmanager
    @torch.no_grad()
    def showing(self, weights: Sequence[torch.Tensor]) -> Iterator[None]:
        """Let the network compute with other weights (in the order of `parameters`) within the block."""
        before = list(self.parameters.values()) if self._are_copies else [p.detach().clone() for p in self._own]
        # Of weights spread over processes (`sharding`), this one's parts.
        own, shown, before = ([_part(t) for t in tensors] for tensors in (self._own, weights, before))
        torch._foreach_copy_(own, shown)
        try:
            yield
        finally:
            torch._foreach_copy_(own, before)


def _part(value: torch.Tensor) -> torch.Tensor:
    return value.to_local() if isinstance(value, DTensor) else value


def as_dtype(value: torch.Tensor | list[torch.Tensor], dtype: torch.dtype) -> torch.Tensor | list[torch.Tensor]:
    """Return floating-point tensors in a precision; all others as they are."""
    if isinstance(value, list):
        return [as_dtype(v, dtype) for v in value]
    return value.to(dtype) if value.is_floating_point() else value
