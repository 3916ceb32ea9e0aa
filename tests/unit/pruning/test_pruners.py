"""Pruners as definitions write them: defaults echoed, mistakes named."""

from typing import Any

import pytest

from hpsearch.catalog import installed_catalog
from hpsearch.errors import InvalidDefinition
from hpsearch.pruning.base import REGISTRY
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.spec.definition import parse_definition
from hpsearch.spec.sections import Direction
from tests.studies import definition

MEDIAN = {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1}


def written(pruner: dict[str, Any]) -> dict[str, Any]:
    """Return the section with its defaults, in a study of nine epochs at most."""
    parsed = definition(pruner=pruner, training={"epochs": {"low": 3, "high": 9}})
    again = parse_definition(parsed.document, installed_catalog())
    assert again.document == parsed.document
    assert again.pruner == parsed.pruner
    section: dict[str, Any] = parsed.document["pruner"]
    return section


def complaints(pruner: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidDefinition) as caught:
        written(pruner)
    return {".".join(map(str, error.loc)): error.msg for error in caught.value.errors}


def test_the_defaults_are_optunas_and_are_echoed() -> None:
    assert written({"name": "median"}) == {"name": "median", **MEDIAN}
    assert written({"name": "percentile", "percentile": 25}) == {
        "name": "percentile",
        "percentile": 25,
        **MEDIAN,
    }
    assert written({"name": "hyperband"}) == {
        "name": "hyperband",
        "min_resource": 1,
        "reduction_factor": 3,
        "bootstrap_count": 0,
    }
    assert written({"name": "successive_halving"}) == {
        "name": "successive_halving",
        "min_resource": 1,
        "reduction_factor": 4,
        "min_early_stopping_rate": 0,
        "bootstrap_count": 0,
    }
    assert written({"name": "patient", "patience": 2, "wrapped_pruner": {"name": "median"}}) == {
        "name": "patient",
        "patience": 2,
        "min_delta": 0.0,
        "wrapped_pruner": {"name": "median", **MEDIAN},
    }


@pytest.mark.parametrize(
    ("pruner", "where", "why"),
    [
        ({"name": "percentile"}, "pruner.percentile", "is required"),
        ({"name": "threshold"}, "pruner", "give lower, upper or both"),
        ({"name": "threshold", "lower": 2, "upper": 1}, "pruner.lower", "must not be above"),
        ({"name": "hyperband", "min_resource": 10}, "pruner.min_resource", "at most 9"),
        ({"name": "hyperband", "max_resource": 9}, "pruner.max_resource", "unknown field"),
        ({"name": "successive_halving", "min_resource": "auto"}, "pruner.min_resource", "number"),
        ({"name": "median", "interval_steps": 0}, "pruner.interval_steps", "at least 1"),
        ({"name": "patient", "wrapped_pruner": None}, "pruner.patience", "is required"),
    ],
)
def test_mistakes_are_named(pruner: dict[str, Any], where: str, why: str) -> None:
    found = complaints(pruner)
    assert list(found) == [where]
    assert why in found[where]


@pytest.mark.parametrize(
    ("wrapped", "why"),
    [
        ("median", 'got "median"'),
        ({"name": "patient", "patience": 1}, "must be null or an object with the name"),
        ({"name": "none"}, "must be null or an object with the name"),
        ({"name": "median", "warmup": 1}, "is no valid median pruner: warmup"),
        ({"name": "percentile"}, "percentile: Field required"),
        ({"name": "hyperband", "min_resource": 99}, "min_resource must be at most 9"),
    ],
)
def test_mistakes_inside_a_wrapped_pruner_are_named(wrapped: Any, why: str) -> None:
    found = complaints({"name": "patient", "patience": 1, "wrapped_pruner": wrapped})
    assert list(found) == ["pruner.wrapped_pruner"]
    assert why in found["pruner.wrapped_pruner"]


def test_the_bracket_of_a_trial_depends_on_its_study_and_number_alone() -> None:
    hyperband = REGISTRY["hyperband"]()
    one, same, other = (JudgedStudy(name, Direction.MAXIMIZE, 27) for name in ("a", "a", "b"))
    rungs = [hyperband.written_at("completed_rung_0", number, one) for number in range(60)]
    assert rungs == [
        hyperband.written_at("completed_rung_0", number, same) for number in range(60)
    ]
    assert rungs != [
        hyperband.written_at("completed_rung_0", number, other) for number in range(60)
    ]
    assert set(rungs) == {1, 3, 9, 27}
    assert hyperband.written_at("fixed_params", 0, one) == 0
