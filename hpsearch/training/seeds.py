"""Where every random number of training comes from: keys, never a shared generator."""

import numpy as np
from numpy.typing import NDArray

_INITIAL = 0x696E6974  # "init"
_ORDER = 0x6F726465  # "orde"


def initial_generator(seed: int, number: int) -> np.random.Generator:
    """Return the generator of a trial's first weights: its own, whoever its neighbours are."""
    return np.random.default_rng([_INITIAL, seed, number])


def epoch_order(
    seed: int, epoch: int, n_examples: int, number: int | None = None
) -> NDArray[np.int64]:
    """Return the order in which one epoch visits the training examples.

    Args:
        seed: The study's seed.
        epoch: From 1.
        n_examples: How many there are.
        number: The trial's number where each trial has an order of its own; None where all
            trials share the order of their epoch, and with it their batches.
    """
    key = [_ORDER, seed, epoch] if number is None else [_ORDER, seed, epoch, number]
    return np.random.default_rng(key).permutation(n_examples)
