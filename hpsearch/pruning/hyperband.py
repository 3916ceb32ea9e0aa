"""Successive halving with several first rungs at once, since nobody knows the right one."""

import math
from binascii import crc32
from functools import lru_cache
from typing import Literal

from pydantic import Field

from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.rungs import Ladder, RungPruner


@REGISTRY.register("hyperband")
class Hyperband(RungPruner):
    """Hyperband: each trial belongs to a bracket, brackets begin to prune at different epochs.

    The bracket follows from the study's name and the trial's number, in every process alike.
    ``max_resource`` is the highest number of epochs of the space, never guessed from the first
    trials.

    Source: Li et al., Hyperband, JMLR 2018.
    """

    name: Literal["hyperband"] = "hyperband"
    min_resource: int = Field(1, ge=1, description="epochs up to the first rung")
    reduction_factor: int = Field(3, ge=2, description="one in so many goes on")
    bootstrap_count: int = Field(0, ge=0, description="trials a rung waits for")

    def bracket(self, study: JudgedStudy, number: int) -> int:
        """Return the bracket Optuna puts the trial in; its rungs begin so much later."""
        shares = _shares(self.min_resource, study.max_epochs, self.reduction_factor)
        place = crc32(f"{study.name}_{number}".encode()) % sum(shares)
        for bracket, share in enumerate(shares):
            place -= share
            if place < 0:
                return bracket
        raise AssertionError("a place lies within the sum of all shares")

    def ladder(self, study: JudgedStudy, number: int) -> Ladder:
        """Return the rungs of the trial's bracket."""
        return Ladder(self.min_resource, self.reduction_factor, self.bracket(study, number))


@lru_cache
def _shares(min_resource: int, max_resource: int, reduction_factor: int) -> tuple[int, ...]:
    """Return how many trials in the sum of all belong to each bracket."""
    n_brackets = math.floor(math.log(max_resource / min_resource, reduction_factor)) + 1
    return tuple(
        math.ceil(n_brackets * reduction_factor**rank / (rank + 1))
        for rank in reversed(range(n_brackets))
    )
