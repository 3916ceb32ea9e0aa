"""The update rules compiled for GPUs: no number spilled, memory read four numbers at a time."""

from pathlib import Path

import pytest

from hpsearch.optimizers.base import REGISTRY
from tests.gpu_code import CAPABILITIES, gpu_code

pytest.importorskip("triton", reason="no Triton for this platform")


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_kernel_becomes_lean_machine_code(
    name: str, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpsearch.training import kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    seen = 0
    for (rule, names), (kernel, variant) in kernels._KERNELS.items():
        for l2 in (False, True) if rule is REGISTRY[name] else ():
            constants = {**variant, "width": len(names) + l2, "l2": l2, "block": kernels._BLOCK}
            kinds = dict.fromkeys(kernel.arg_names, "*fp32") | {"row": "*i64", "size": "i32"}
            kinds = {name: kind for name, kind in kinds.items() if name not in constants}
            code = gpu_code(kernel, kinds, constants, capability)
            assert code.stack_bytes == 0
            assert code.registers <= 64
            assert code.widest_load == 4
            seen += 1
    assert seen
