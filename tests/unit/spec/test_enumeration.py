"""The points of a finite space by number: each once, and all of them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.sampling.grid import shuffled
from hpsearch.spec.enumeration import point_at, value_at
from hpsearch.spec.space import CategoricalDomain, Domain, FloatDomain, IntDomain
from tests.studies import definition

ACTIVATIONS: list[dict[str, Any]] = [{}, {"activation": {"choices": ["relu", "tanh"]}}]
L2: list[dict[str, Any]] = [{}, {"l2": 0.1}, {"l2": {"choices": [0, 0.1]}}]
DEPTHS: list[dict[str, Any]] = [
    {},
    {"hidden_layers": 0},
    {"hidden_layers": 3},
    {"hidden_layers": {"low": 0, "high": 2}},
    {"hidden_layers": {"low": 1, "high": 3, "step": 2}},
    {"hidden_layers": {"choices": [0, 3]}},
]
MAX_SIZE = 600  # points listed one by one

widths = st.one_of(
    st.just(8),
    st.just({"choices": [4, 8]}),
    st.just({"choices": [4, 8], "per_layer": False}),
    st.just({"low": 2, "high": 6, "step": 2}),
    st.just([{"choices": [4, 8]}, 16, {"low": 1, "high": 3}]),
)
whole = st.sets(st.sampled_from(["[]", "[4]", "[8]", "[8,4]", "[4,4,4]"]), min_size=1)
rates = st.sampled_from([0.1, {"choices": [0.1, 0.01]}, {"low": 0.1, "high": 0.5, "step": 0.2}])


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    activation = draw(st.sampled_from(ACTIVATIONS))
    if draw(st.booleans()):
        lists = [[int(n) for n in text.strip("[]").split(",") if n] for text in draw(whole)]
        return {"family": "mlp", "hidden_units": {"choices": lists}, **activation}
    return {
        "family": "mlp",
        "hidden_units": draw(widths),
        **draw(st.sampled_from(DEPTHS)),
        **activation,
    }


@st.composite
def optimizers(draw: st.DrawFn) -> dict[str, Any]:
    common = draw(st.sampled_from(L2))
    if draw(st.booleans()):
        return {"name": "sgd", "learning_rate": draw(rates), **common}
    branches = [
        {"name": "sgd", "learning_rate": draw(rates), "nesterov": {"choices": [True, False]}},
        {"name": "adam", "learning_rate": draw(rates)},
        {"name": "sgd", "label": "plain"},
    ]
    return {"choices": branches[: draw(st.integers(1, 3))], **common}


@given(models(), optimizers(), st.sampled_from([5, {"low": 2, "high": 4}, {"choices": [1, 9]}]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_number_is_another_point_of_the_space(
    model: dict[str, Any], optimizer: dict[str, Any], epochs: Any
) -> None:
    space = definition(model=model, optimizer=optimizer, training={"epochs": epochs}).space
    size = space.size()
    assert size is not None
    listed = range(min(size, MAX_SIZE))
    points = [point_at(space, index) for index in listed]
    assert len({tuple(sorted(point.items(), key=str)) for point in points}) == len(listed)
    for point in points[:20]:
        space.resolve(point)
    space.resolve(point_at(space, size - 1))
    with pytest.raises(IndexError):
        point_at(space, size)


def test_a_continuum_has_no_numbered_points() -> None:
    with pytest.raises(IndexError):
        point_at(definition().space, 0)


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (IntDomain(1, 7, step=3), [1, 4, 7]),
        (IntDomain(1, 3, log=True), [1, 2, 3]),
        (FloatDomain(0.1, 0.3, step=0.1), pytest.approx([0.1, 0.2, 0.3])),
        (CategoricalDomain((None, "a", True)), [None, "a", True]),
    ],
)
def test_the_values_of_a_domain_come_in_its_own_order(domain: Domain, values: Any) -> None:
    assert [value_at(domain, index) for index in range(3)] == values


@given(st.integers(1, 400), st.integers(0, 2**63 - 1))
def test_a_grid_is_shuffled_without_loss(size: int, seed: int) -> None:
    assert sorted(shuffled(index, size, seed) for index in range(size)) == list(range(size))
