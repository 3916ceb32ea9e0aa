"""A few of the training examples, for checks that need no more."""

import dataclasses

import numpy as np

from hpsearch.datasets.splits import Part, Splits


def few_examples(splits: Splits, n_examples: int, seed: int) -> Splits:
    """Return splits with so many of the training examples, drawn by chance.

    They are what is validated on, too; one of them stands for the test split.
    """
    rng = np.random.default_rng([0x66657721, seed % 2**32])  # "few!"
    chosen = np.sort(rng.permutation(len(splits.train))[:n_examples])
    part = Part(np.ascontiguousarray(splits.train.x[chosen]), splits.train.y[chosen])
    return dataclasses.replace(
        splits, train=part, validation=part, test=Part(part.x[:1], part.y[:1])
    )
