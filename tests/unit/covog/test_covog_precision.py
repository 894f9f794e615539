"""Half-precision arithmetic with weights kept in single precision."""

import pytest
import torch
from torch import nn

from covog.precision import Masters, as_dtype


def network() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 1, bias=False)


def test_steps_too_small_for_half_precision_add_up():
    layer = network()
    before = layer.weight.detach().clone()
    masters = Masters(dict(layer.named_parameters()), torch.bfloat16)
    assert layer.weight.dtype == torch.bfloat16
    optimizer = torch.optim.SGD(masters.parameters.values(), lr=1e-4)
    for _ in range(100):
        layer(torch.ones(1, 4, dtype=torch.bfloat16)).sum().backward()
        masters.take_gradients()
        optimizer.step()
        optimizer.zero_grad()
        masters.give_weights()
    # One step of 1e-4 is below what bfloat16 can add to a weight of 0.3; a hundred of them are not.
    torch.testing.assert_close(masters.parameters["weight"].detach(), before - 1e-2)
    torch.testing.assert_close(layer.weight.float().detach(), before - 1e-2, atol=2e-3, rtol=0)


def test_gradients_of_several_batches_are_added_in_single_precision():
    layer = network()
    masters = Masters(dict(layer.named_parameters()), torch.bfloat16)
    for value in (1.0, 2**-9):
        layer(torch.full((1, 4), value, dtype=torch.bfloat16)).sum().backward()
        masters.take_gradients()
        assert layer.weight.grad is None
    assert masters.parameters["weight"].grad.unique().tolist() == [1 + 2**-9]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_weights_are_shown_for_a_while(dtype):
    layer = network()
    masters = Masters(dict(layer.named_parameters()), dtype)
    before = layer.weight.detach().clone()
    with masters.showing([torch.ones(1, 4)]):
        assert layer(torch.ones(1, 4, dtype=dtype)).item() == 4
    assert torch.equal(layer.weight, before)


def test_in_single_precision_the_networks_own_weights_are_trained():
    layer = network()
    masters = Masters(dict(layer.named_parameters()), torch.float32)
    assert masters.parameters["weight"] is layer.weight


def test_only_floating_point_values_change_their_type():
    given = [torch.ones(2), torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.long)]
    assert [v.dtype for v in as_dtype(given, torch.float16)] == [torch.float16, torch.bool, torch.long]
