"""Batch norm over lanes is torch's module, lane by lane."""

import torch
from torch import nn

from hpsearch.layers.norm import BatchNorm

N_LANES, WIDTH, BATCH = 3, 5, 7


def columns(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).expand(WIDTH, -1).t()[..., None].contiguous()


def test_forward_backward_and_running_statistics_are_torchs() -> None:
    torch.manual_seed(0)
    layer, plain = BatchNorm(), nn.BatchNorm1d(WIDTH).double()
    weight, bias = columns(1.0, 2.0, 3.0), columns(0.0, 0.5, -1.0)
    running = (columns(0.0, 0.0, 0.0), columns(1.0, 1.0, 1.0), torch.zeros(N_LANES).double())
    for _ in range(3):
        z = torch.randn(N_LANES, WIDTH, BATCH, dtype=torch.float64) * 3 + 1
        d = torch.randn_like(z)
        out = layer.forward(z, weight, bias, running, is_training=True)
        gradients = torch.empty_like(weight), torch.empty_like(bias)
        d_in = layer.backward(d, *gradients)
        plain.weight.data, plain.bias.data = weight[1, :, 0].clone(), bias[1, :, 0].clone()
        plain.zero_grad()
        x = z[1].t().clone().requires_grad_()
        expected = plain(x)
        expected.backward(d[1].t())
        torch.testing.assert_close(out[1].t(), expected.detach())
        assert x.grad is not None
        torch.testing.assert_close(d_in[1].t(), x.grad)
        torch.testing.assert_close(gradients[0][1, :, 0], plain.weight.grad)
        torch.testing.assert_close(gradients[1][1, :, 0], plain.bias.grad)
    torch.testing.assert_close(running[0][1, :, 0], plain.running_mean)
    torch.testing.assert_close(running[1][1, :, 0], plain.running_var)
    assert running[2].tolist() == [3.0] * N_LANES
    plain.eval()
    z = torch.randn(N_LANES, WIDTH, BATCH, dtype=torch.float64)
    out = layer.forward(z, weight, bias, running, is_training=False)
    torch.testing.assert_close(out[1].t(), plain(z[1].t()).detach())


def test_a_batch_of_one_uses_the_running_statistics_and_leaves_them() -> None:
    layer = BatchNorm()
    running = (columns(1.0, 1.0, 1.0), columns(4.0, 4.0, 4.0), torch.zeros(N_LANES).double())
    weight, bias = columns(1.0, 1.0, 1.0), columns(0.0, 0.0, 0.0)
    z = torch.full((N_LANES, WIDTH, 1), 3.0, dtype=torch.float64)
    out = layer.forward(z, weight, bias, running, is_training=True)
    torch.testing.assert_close(out, torch.ones_like(out), atol=1e-5, rtol=0)
    d_in = layer.backward(torch.ones_like(z), torch.empty_like(weight), torch.empty_like(bias))
    torch.testing.assert_close(d_in, torch.full_like(z, 0.5), atol=1e-5, rtol=0)
    assert running[2].tolist() == [0.0] * N_LANES


def test_nan_stays_in_its_lane() -> None:
    layer = BatchNorm()
    running = (columns(0.0, 0.0, 0.0), columns(1.0, 1.0, 1.0), torch.zeros(N_LANES).double())
    z = torch.randn(N_LANES, WIDTH, BATCH, dtype=torch.float64)
    z[1, 2, 3] = torch.nan
    out = layer.forward(
        z, columns(1.0, 1.0, 1.0), columns(0.0, 0.0, 0.0), running, is_training=True
    )
    assert out[1].isnan().any()
    assert out[[0, 2]].isfinite().all()
    assert running[0][[0, 2]].isfinite().all()
