"""The factors of dropout by a Triton kernel are those in plain torch, to the last bit."""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch

from hpsearch.layers import dropout
from hpsearch.training.seeds import draw_key, step_keys
from tests.gpu_code import CAPABILITIES, gpu_code
from tests.interpreted import interpreted

pytest.importorskip("triton", reason="no Triton for this platform")


@pytest.fixture(scope="module")
def kernels() -> Iterator[ModuleType]:
    with interpreted("hpsearch.layers.kernels.dropout") as (module,):
        yield module


@pytest.mark.parametrize("n_columns", [1, 50, 100])
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # products wrap around
def test_the_coins_are_the_same(
    n_columns: int, kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = dropout.Dropout(4, 23, torch.device("cpu"))
    for lane, rate in enumerate((0.5, 0.0, 0.1, 0.9)):
        layer.set_rate(lane, rate)
    every = np.stack([step_keys(draw_key(7, n), np.array([1]), 3)[0] for n in range(3)])
    keys = torch.from_numpy(every)[:, 1]  # of the second of three layers
    usual = layer.factors(keys, n_columns, torch.float32)
    monkeypatch.setattr(dropout, "has_kernels", lambda _: True)
    ours = layer.factors(keys, n_columns, torch.float32)
    assert usual is not None
    assert ours is not None
    assert torch.equal(ours, usual)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_kernel_becomes_lean_machine_code(capability: int) -> None:
    from hpsearch.layers.kernels.dropout import _factors

    kinds = dict.fromkeys(("places", "keys", "threshold"), "*i32")
    kinds |= {"key_stride": "i32", "scale": "*fp32", "out": "*fp32", "size": "i32"}
    constants: dict[str, object] = {"last": dropout._signed(dropout.LAST), "block": 1024}
    code = gpu_code(_factors, kinds, constants, capability)
    assert code.stack_bytes == 0
    assert code.registers <= 64
    assert code.widest_load == 16
