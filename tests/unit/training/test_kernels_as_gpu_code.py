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
    own = {
        names: kernel
        for (rule, names), kernel in kernels._KERNELS.items()
        if rule is REGISTRY[name]
    }
    assert own
    for names, kernel in own.items():
        kinds = dict.fromkeys(kernel.arg_names, "*fp32") | {"row": "*i64", "size": "i32"}
        del kinds["n_names"], kinds["block"]
        constants = {"n_names": len(names), "block": kernels._BLOCK}
        code = gpu_code(kernel, kinds, constants, capability)
        assert code.stack_bytes == 0
        assert code.registers <= 64
        assert code.widest_load == 4
