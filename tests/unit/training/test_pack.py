"""A pack's rows: who comes and goes, and what happens when there is no memory for more."""

from typing import Any

import pytest

from hpsearch.layers.stack import Stack, grown
from hpsearch.training import pack as pack_module
from hpsearch.training.engine import Engine
from tests.lanes import LOWEST_LOSS, class_splits, trial


def test_a_pack_that_ran_out_of_memory_while_it_grew_grows_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(class_splits(), LOWEST_LOSS, 1, lanes=4)
    pack, usual = engine.pack(trial(), 2), engine.pack(trial(), 3)
    n_grown = 0

    def too_large(*args: Any) -> Stack:
        nonlocal n_grown
        n_grown += 1
        if n_grown == 2:
            raise MemoryError
        return grown(*args)

    with monkeypatch.context() as patch:
        patch.setattr(pack_module, "grown", too_large)
        with pytest.raises(MemoryError):
            pack.add(usual.lanes[2], None)
    assert len(pack.lanes) == 2
    pack.add(usual.lanes[2], None)
    assert pack.train_epoch(lambda: None).sums.tolist() == (
        usual.train_epoch(lambda: None).sums.tolist()
    )
