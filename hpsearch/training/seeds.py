"""Where every random number of training comes from: keys, never a shared generator."""

import numpy as np
from numpy.typing import NDArray

_INITIAL = 0x696E6974  # "init"
_ORDER = 0x6F726465  # "orde"
_DRAWS = 0x64726177  # "draw"
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


def draw_key(seed: int, number: int) -> np.uint64:
    """Return the key of everything a trial draws while it is trained (dropout)."""
    return np.uint64(_generator(_DRAWS, seed, number).integers(2**64, dtype=np.uint64))


def step_keys(trial: np.uint64, steps: NDArray[np.int64], n_draws: int) -> NDArray[np.int32]:
    """Return the keys ``[steps, n_draws, 2]`` of what each layer draws at each step.

    Args:
        trial: The trial's key, of :func:`draw_key`.
        steps: Number of each step in the trial, from 1.
        n_draws: Layers that draw.
    """
    layer = np.arange(1, n_draws + 1, dtype=np.uint64)
    keys = _mixed(_mixed(trial ^ _mixed(steps.astype(np.uint64)))[:, None] + layer)
    return np.ascontiguousarray(keys).view(np.int32).reshape(len(steps), n_draws, 2)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the numbers hashed one by one, as splitmix64 does."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _generator(purpose: int, seed: int, *key: int) -> np.random.Generator:
    # every part has a fixed number of words, so that no two keys read the same
    return np.random.default_rng([purpose, seed % _WORD, seed // _WORD, *key])
