"""A process that trains is settled once: what is there by then stays there."""

import gc

import pytest
import torch

from hpsearch.training.process import settle_process


def test_the_garbage_collector_leaves_what_is_imported_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "set_flush_denormal", lambda _: True)  # not for other tests
    n_threads = torch.get_num_threads()
    try:
        settle_process("cpu")
        assert gc.get_freeze_count() > 100_000  # torch alone has so many
        assert torch.get_num_threads() == 1
    finally:
        gc.unfreeze()
        torch.set_num_threads(n_threads)
