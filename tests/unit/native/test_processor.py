"""Kernels are made for processors that have what they need; elsewhere plain torch does without."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from hpsearch.layers.affine import TorchAffine, affine_of
from hpsearch.layers.native_affine import NativeAffine
from hpsearch.native import check, library
from hpsearch.native.processor import Processor, processor

binding = pytest.importorskip("llvmlite.binding")

AVX2 = ("avx2", "fma")
AVX512 = (*AVX2, "avx512f", "avx512vl", "avx512bw", "avx512dq")

WITHOUT = """
import sys
sys.modules["llvmlite"] = None  # an import of it fails
from hpsearch.native.processor import processor
from tests.lanes import LOWEST_LOSS, class_splits, play, trial
from hpsearch.training.engine import Engine
caller = play(Engine(class_splits(), LOWEST_LOSS, 1, lanes=2), [trial(epochs=1), trial(epochs=2)])
print(processor(), *(caller.ends[number].outcome.name for number in (0, 1)))
"""


@pytest.fixture
def fresh() -> Iterator[None]:
    """Look at the processor anew, and once more after the test."""
    processor.cache_clear()
    yield
    processor.cache_clear()


def found(monkeypatch: pytest.MonkeyPatch, *features: str) -> Processor | None:
    """Return what is made of a processor with these features."""
    has = dict.fromkeys(("sse2", "amx-tile", *AVX512, "avx512bf16"), False)
    monkeypatch.setattr(
        binding, "get_host_cpu_features", lambda: {**has, **dict.fromkeys(features, True)}
    )
    monkeypatch.setattr(binding, "get_host_cpu_name", lambda: "kind")
    monkeypatch.setattr(check, "computes", lambda _: True)
    return processor()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (AVX2, (32, 16, False)),
        (AVX512, (64, 32, False)),
        ((*AVX512, "avx512bf16"), (64, 32, True)),
        # some of AVX-512 is not enough of it
        (tuple(one for one in AVX512 if one != "avx512vl"), (32, 16, False)),
        ((*AVX2, "avx512f", "avx512bf16"), (32, 16, False)),
    ],
)
def test_vectors_and_registers_follow_from_the_features(
    features: tuple[str, ...],
    expected: tuple[int, int, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = found(monkeypatch, *features)
    assert one is not None
    assert (one.vector_bytes, one.n_registers, one.has_pairs) == expected
    assert one.name == "kind"
    told = one.features.split(",")
    assert {f"+{feature}" for feature in features} == {one for one in told if one[0] == "+"}
    assert "-amx-tile" in told


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "features",
    [(), ("sse2",), ("avx2",), ("fma",), ("amx-tile", "amx-bf16")],
)
def test_other_processors_do_without_kernels(
    features: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(monkeypatch, *features) is None


@pytest.mark.usefixtures("fresh")
def test_what_may_be_rounded_is_left_to_torch_where_there_are_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has = binding.get_host_cpu_features()
    if not (has.get("avx2") and has.get("fma")):
        pytest.skip("no kernels for this processor")
    here = torch.device("cpu")
    no_tiles = {**has, "amx-tile": False}
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: no_tiles)
    assert isinstance(affine_of(is_exact=False, device=here), NativeAffine)
    processor.cache_clear()
    tiles = {**has, "amx-tile": True, "amx-bf16": True}
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: tiles)
    monkeypatch.setattr(check, "computes", lambda _: True)
    assert isinstance(affine_of(is_exact=False, device=here), TorchAffine)
    assert isinstance(affine_of(is_exact=True, device=here), NativeAffine)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
def test_kernels_that_compute_wrongly_are_done_without(
    wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert processor() is not None or not binding.get_host_cpu_features().get("avx2")
    processor.cache_clear()
    monkeypatch.setattr(check, "_error", lambda _: wrong)
    assert processor() is None


@pytest.mark.usefixtures("fresh")
def test_code_the_system_refuses_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> object:
        raise RuntimeError("mprotect: permission denied")

    monkeypatch.setattr(library, "_compiled", refused)
    library.kernel.cache_clear()
    assert processor() is None
    library.kernel.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_a_compiler_that_cannot_be_loaded_is_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> str:
        raise OSError("Could not find/load shared object file")

    monkeypatch.setattr(binding, "get_host_cpu_name", broken)
    assert processor() is None


def test_without_the_compiler_installed_plain_torch_trains() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["None", "COMPLETED", "COMPLETED"]
