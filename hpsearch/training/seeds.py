"""Where every random number of training comes from: keys, never a shared generator."""

import numpy as np
from numpy.typing import NDArray

_INITIAL = 0x696E6974  # "init"
_ORDER = 0x6F726465  # "orde"
_WORD = 2**32


def initial_generator(seed: int, number: int) -> np.random.Generator:
    """Return the generator of a trial's first weights: its own, whoever its neighbours are."""
    return _generator(_INITIAL, seed, number)


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
    # trials count from 1 here: numpy takes a key and the same key with a zero behind it for one
    return _generator(_ORDER, seed, epoch, 0 if number is None else number + 1).permutation(
        n_examples
    )


def _generator(purpose: int, seed: int, *key: int) -> np.random.Generator:
    # every part has a fixed number of words, so that no two keys read the same
    return np.random.default_rng([purpose, seed % _WORD, seed // _WORD, *key])
