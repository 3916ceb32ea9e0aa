"""The cells compiled for GPUs: no number spilled, memory read 16 bytes at a time."""

from pathlib import Path

import pytest

from hpsearch.layers.cells import Gru, Lstm, Vanilla
from tests.gpu_code import CAPABILITIES, gpu_code

pytest.importorskip("triton", reason="no Triton for this platform")

BATCH = 100


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("cell", [Vanilla, Gru, Lstm])
def test_a_cell_becomes_lean_machine_code(
    cell: type, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpsearch.layers.kernels import cell_parts, cells

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    forward, backward = cells._KERNELS[cell]
    sizes = cells.block_of(BATCH) | ({"is_relu": False} if cell is Vanilla else {})
    for kernel, constants in (
        (forward, {"keeps": True}),
        (backward, {"is_last": True, "has_d": True}),
        (backward, {"is_last": False, "has_d": True}),
    ):
        names = kernel.arg_names[: kernel.arg_names.index("group")]
        counts = {*cell_parts.FORWARD, *cell_parts.BACKWARD}
        kinds = {name: "i32" if name in counts else "*fp32" for name in names}
        code = gpu_code(kernel, kinds, {**sizes, **constants}, capability)
        assert code.stack_bytes == 0
        assert code.registers <= 64
        assert code.widest_load == 16
