"""Checkpoints of trials that have ended go, also those their trainer did not live to delete."""

from pathlib import Path

from hpsearch.storage.database import Database
from hpsearch.studies.janitor import Janitor
from hpsearch.studies.sweep import Sweep
from tests.studies import Hand, stored


def leave(artifacts: Path, hand: Hand, number: int, *names: str) -> None:
    folder = artifacts / hand.uuid / str(number)
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"a state")


def left(artifacts: Path, hand: Hand) -> set[str]:
    folder = artifacts / hand.uuid
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


CHECKPOINT, HALF = "attempt-1-epoch-3.safetensors", ".attempt-1-epoch-4.safetensors.x1"


def test_the_janitor_deletes_the_checkpoints_of_ended_trials_alone(
    database: Database, tmp_path: Path
) -> None:
    hand = stored(database)
    ended, running = hand.claim(2)
    hand.finish(ended)
    leave(tmp_path, hand, ended.number, CHECKPOINT, HALF, "model.safetensors")
    leave(tmp_path, hand, running.number, CHECKPOINT)

    Janitor(database, 30.0, _Silent(), tmp_path).tick()

    assert left(tmp_path, hand) == {
        f"{ended.number}/model.safetensors",
        f"{running.number}/{CHECKPOINT}",
    }


def test_a_study_is_looked_at_again_after_something_happened_there(
    database: Database, tmp_path: Path
) -> None:
    hand, idle = stored(database), stored(database, "idle")
    sweep = Sweep(database, tmp_path, every_s=0.0)
    (trial,) = hand.claim(1)
    leave(tmp_path, hand, trial.number, CHECKPOINT)
    leave(tmp_path, idle, 0, CHECKPOINT)  # of no trial that is known
    assert [sweep.run(), sweep.run(), sweep.run()] == [0, 0, 0]

    hand.finish(trial)

    assert [sweep.run(), sweep.run()] == [1, 0]
    assert left(tmp_path, idle) == {f"0/{CHECKPOINT}"}


def test_a_study_is_not_looked_at_all_the_time(database: Database, tmp_path: Path) -> None:
    hand = stored(database)
    sweep = Sweep(database, tmp_path, every_s=3600.0)
    first, second = hand.claim(2)
    hand.finish(first)
    leave(tmp_path, hand, first.number, CHECKPOINT)
    assert sweep.run() == 1
    hand.finish(second)
    leave(tmp_path, hand, second.number, CHECKPOINT)
    assert sweep.run() == 0


class _Silent:
    """A bell nobody hears."""

    def ring(self, n: int, study: str) -> None:
        """Do nothing."""

    def waiting(self) -> int:
        """Return 0."""
        return 0
