"""Random numbers by key: the same for the same key, unrelated otherwise."""

import numpy as np

from hpsearch.training.seeds import epoch_order, initial_generator

LARGEST = 2**63 - 1
ORDER = [6, 3, 2, 5, 1, 7, 4, 0]
INITIAL = [-0.8342213249562758, 0.6387066164047427]


def test_an_order_visits_every_example_once() -> None:
    assert sorted(epoch_order(LARGEST, 1, 101)) == list(range(101))


def test_the_same_key_gives_the_same_numbers() -> None:
    np.testing.assert_array_equal(epoch_order(3, 2, 50), epoch_order(3, 2, 50))
    np.testing.assert_array_equal(
        initial_generator(3, 2).random(5), initial_generator(3, 2).random(5)
    )


def test_any_other_key_gives_other_numbers() -> None:
    orders = {
        tuple(epoch_order(*key))
        for key in [(3, 2, 50), (3, 3, 50), (4, 2, 50), (3, 2, 50, 0), (3, 2, 50, 1)]
    }
    assert len(orders) == 5
    draws = {tuple(initial_generator(*key).random(3)) for key in [(0, 0), (0, 1), (1, 0)]}
    assert len(draws) == 3


def test_numbers_stay_what_they_were() -> None:
    # changing them changes the result of every study that is run again
    assert epoch_order(0, 1, 8).tolist() == ORDER
    np.testing.assert_allclose(initial_generator(0, 0).standard_normal(2), INITIAL)
