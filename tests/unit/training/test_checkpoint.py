"""A lane's state on disk: whole and its own, or not there."""

from pathlib import Path

import numpy as np
import pytest

from hpsearch.spec.sections import EarlyStopping
from hpsearch.training.checkpoint import load_state, save_state
from hpsearch.training.engine import Engine
from hpsearch.training.lanes import Boundary, LaneSpec, LaneState, Reply
from tests.lanes import LOWEST_LOSS, class_splits, play, trial

STATE = LaneState(
    epoch=3,
    arrays={
        "weights/0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "momentum/0.weight": np.full((2, 3), np.inf, dtype=np.float32),
        "best/0.bias": np.zeros(0, dtype=np.float64),
    },
    meta={"step": 30, "tracker": {"window": [0.1, 0.2], "best_epoch": None}},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study" / "7.safetensors"


def test_a_state_comes_back_as_it_was_saved(path: Path) -> None:
    save_state(path, STATE)
    loaded = load_state(path)
    assert loaded is not None
    assert (loaded.epoch, loaded.meta) == (STATE.epoch, STATE.meta)
    assert loaded.arrays.keys() == STATE.arrays.keys()
    for name, array in STATE.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
        assert loaded.arrays[name].dtype == array.dtype


def test_a_new_state_takes_the_place_of_the_old_and_leaves_nothing_beside_it(path: Path) -> None:
    save_state(path, STATE)
    save_state(path, LaneState(4, STATE.arrays, STATE.meta))
    loaded = load_state(path)
    assert loaded is not None
    assert loaded.epoch == 4
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_file_is_no_state(path: Path) -> None:
    assert load_state(path) is None


@pytest.mark.parametrize("kept", [0, 1, 8, 100, -1, -30])
def test_a_truncated_file_is_no_state(path: Path, kept: int) -> None:
    save_state(path, STATE)
    path.write_bytes(path.read_bytes()[:kept])
    assert load_state(path) is None


def test_a_flipped_bit_anywhere_is_no_state_or_the_same_state(path: Path) -> None:
    save_state(path, STATE)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[at] ^= 0x10
        path.write_bytes(bytes(broken))
        loaded = load_state(path)
        if loaded is not None:  # a space of the header's padding or of the facts
            for name, array in STATE.arrays.items():
                np.testing.assert_array_equal(loaded.arrays[name], array)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04.", b"\xff" * 4096])
def test_another_kind_of_file_is_no_state(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert load_state(path) is None


def test_a_trial_goes_on_from_its_file_as_if_nothing_had_happened(path: Path) -> None:
    splits = class_splits()
    config = trial(epochs=8, early_stopping=EarlyStopping(patience=6, smoothing=2))
    whole = play(Engine(splits, LOWEST_LOSS, 1, lanes=2), [config])

    def pause(boundary: Boundary) -> Reply:
        return Reply(hand_back_all=any(r.number == 1 and r.end for r in boundary.reports))

    first = play(Engine(splits, LOWEST_LOSS, 1, lanes=2), [config, trial(epochs=4)], decide=pause)
    state = first.handed_back[0].state
    assert state is not None
    save_state(path, state)
    second = play(Engine(splits, LOWEST_LOSS, 1, lanes=2), [LaneSpec(0, config, load_state(path))])
    assert first.curve(0) + second.curve(0) == whole.curve(0)
