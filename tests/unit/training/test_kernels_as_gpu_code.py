"""The kernels of a step compiled for GPUs: nothing spilled, memory read in wide pieces."""

from collections.abc import Mapping
from typing import Any

import pytest

from hpsearch.optimizers.base import REGISTRY
from tests.gpu_code import CAPABILITIES, GpuCode, gpu_code

pytest.importorskip("triton", reason="no Triton for this platform")
pytestmark = pytest.mark.parametrize("capability", CAPABILITIES)


def compiled(
    kernel: Any, constants: Mapping[str, object], capability: int, **kinds: str
) -> GpuCode:
    every = dict.fromkeys(kernel.arg_names, "*fp32") | kinds
    code = gpu_code(
        kernel, {n: kind for n, kind in every.items() if n not in constants}, constants, capability
    )
    assert code.stack_bytes == 0
    return code


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_rule(name: str, capability: int) -> None:
    from hpsearch.training.kernels import update

    seen = 0
    for (rule, names), (kernel, variant) in update._KERNELS.items():
        for l2 in (False, True) if rule is REGISTRY[name] else ():
            constants = {**variant, "width": len(names) + l2, "l2": l2, "block": update._BLOCK}
            code = compiled(kernel, constants, capability, row="*i64", size="i32")
            assert code.registers <= 64
            assert code.widest_load == 16
            seen += 1
    assert seen


@pytest.mark.parametrize(("classes", "block"), [(16, 128), (2048, 1)])
def test_the_loss(classes: int, block: int, capability: int) -> None:
    from hpsearch.training.kernels import loss

    constants: dict[str, object] = {"classes": classes, "block": block, "smooths": True}
    compiled(
        loss._cross_entropy,
        constants,
        capability,
        y="*i64",
        sums="*fp64",
        **dict.fromkeys(("n_classes", "batch", "lane_stride"), "i32"),
    )


@pytest.mark.parametrize("scales", [False, True])
def test_a_batch(scales: bool, capability: int) -> None:
    from hpsearch.training.kernels import batch

    constants: dict[str, object] = {"shift": 0.1307, "factor": 3.25, "scales": scales}
    constants |= {"has_own": True, "targets": 1, "block": 1024}
    code = compiled(
        batch._pick,
        constants,
        capability,
        **dict.fromkeys(("y", "orders", "which", "clock", "y_out"), "*i64"),
        **dict.fromkeys(("n_features", "n_targets", "n_examples", "n_all"), "i32"),
        **({"x": "*u8"} if scales else {}),
    )
    assert code.widest_load == (8 if scales else 16)
