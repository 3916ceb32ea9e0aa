"""``optimizer.schedule``: a section inside a section, with branches of its own."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hpsearch.catalog import installed_catalog
from hpsearch.errors import InvalidDefinition
from hpsearch.optimizers.schedules import Cosine, Exponential
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.enumeration import point_at
from hpsearch.spec.schema import json_schema
from hpsearch.spec.space import CategoricalDomain, FloatDomain, ParameterValue
from tests.unit.spec.sample_catalog import yaml_value

SHARED = """
optimizer:
  schedule: {choices: [{name: constant}, {name: cosine, warmup_epochs: 1},
                       {name: exponential, factor: {low: 0.8, high: 0.99}}]}
  choices: [{name: sgd}, {name: adamw}]
"""


def parse(text: str, **sections: Any) -> Definition:
    base = {
        "name": "schedules",
        "dataset": {"name": "digits"},
        "model": {"family": "mlp"},
        "limits": {"max_trials": 3},
    }
    return parse_definition({**base, **yaml_value(text), **sections}, installed_catalog())


def errors(text: str, **sections: Any) -> dict[str, str]:
    with pytest.raises(InvalidDefinition) as caught:
        parse(text, **sections)
    return {".".join(map(str, error.loc)): error.msg for error in caught.value.errors}


def test_branches_of_a_schedule_are_a_parameter_below_their_section() -> None:
    space = parse(SHARED).space
    assert space.domains == {
        "optimizer": CategoricalDomain(("sgd", "adamw")),
        "optimizer.schedule": CategoricalDomain(("constant", "cosine", "exponential")),
        "optimizer.schedule.exponential.factor": FloatDomain(0.8, 0.99),
    }
    assert space.is_conditional


def test_only_the_chosen_schedules_parameters_are_asked_for() -> None:
    space = parse(SHARED).space
    config: Any = space.resolve({"optimizer": "adamw", "optimizer.schedule": "cosine"})
    assert config.optimizer.schedule == Cosine(warmup_epochs=1.0)
    assert config.document()["optimizer"]["schedule"]["name"] == "cosine"
    params: dict[str, ParameterValue] = {
        "optimizer": "sgd",
        "optimizer.schedule": "exponential",
        "optimizer.schedule.exponential.factor": 0.9,
    }
    config = space.resolve(params)
    assert config.optimizer.schedule == Exponential(factor=0.9)


def test_a_branch_has_a_schedule_of_its_own_beside_others() -> None:
    space = parse(
        """
        optimizer:
          choices:
          - {name: sgd, schedule: {name: step, factor: {low: 0.1, high: 0.5}}}
          - {name: adam, schedule: {choices: [{name: cosine}, {name: cosine, label: late,
             warmup_epochs: {choices: [1, 2]}}]}}
        """
    ).space
    assert list(space.domains) == [
        "optimizer",
        "optimizer.sgd.schedule.factor",
        "optimizer.adam.schedule",
        "optimizer.adam.schedule.late.warmup_epochs",
    ]


def test_the_document_is_filled_in_and_final() -> None:
    definition = parse(SHARED)
    assert definition.document["optimizer"]["schedule"]["choices"][1] == {
        "name": "cosine",
        "warmup_epochs": 1,
        "min_factor": 0.0,
    }
    again = parse_definition(definition.document, installed_catalog())
    assert json.dumps(again.document) == json.dumps(definition.document)
    validator = Draft202012Validator(json_schema(installed_catalog()))
    validator.validate(definition.document)


def test_without_a_schedule_the_rate_is_constant() -> None:
    document = parse("optimizer: {name: sgd}").document
    assert document["optimizer"]["schedule"] == {"name": "constant", "warmup_epochs": 0.0}


def test_a_schedule_without_a_name_is_the_constant_one() -> None:
    definition = parse("{optimizer: {name: sgd, schedule: {warmup_epochs: {low: 0, high: 2}}}}")
    assert definition.document["optimizer"]["schedule"]["name"] == "constant"
    assert list(definition.space.domains) == ["optimizer.schedule.warmup_epochs"]


def test_a_finite_space_counts_and_numbers_every_schedule() -> None:
    space = parse(
        """
        optimizer:
          name: sgd
          nesterov: {choices: [true, false]}
          schedule: {choices: [{name: constant}, {name: step, every_epochs: {low: 1, high: 3}}]}
        """
    ).space
    size = space.size()
    assert size == 2 * (1 + 3)
    points = {json.dumps(point_at(space, index), sort_keys=True) for index in range(size)}
    assert len(points) == size


@pytest.mark.parametrize(
    ("optimizer", "place", "message"),
    [
        ("schedule: cosine", "schedule", "must be an object such as {name: cosine}"),
        ("schedule: {name: cosin}", "schedule.name", "did you mean cosine?"),
        ("schedule: {choices: [{}]}", "schedule.choices.0.name", "is required: constant, step"),
        ("schedule: {factor: 0.5}", "schedule.factor", "belongs to optimizer.schedule step"),
        ("schedule: {name: step, rate: 1}", "schedule.rate", "belongs to optimizer.schedule inv"),
        ("schedule: {name: cyclical, cycle_epochs: 0}", "schedule.cycle_epochs", "above 0"),
        ("schedule: {name: step, factor: 1.5}", "schedule.factor", "at most 1"),
        ("factor: 0.1", "factor", "belongs to optimizer.schedule step"),
        (
            "schedule: {name: cosine, warmup_epochs: 5}",
            "schedule.warmup_epochs",
            "must be below training.epochs, which is 5 in some trials",
        ),
        (
            "schedule: {choices: [{name: step}, "
            "{name: cosine, warmup_epochs: {low: 0, high: 9}}]}",
            "schedule.choices.1.warmup_epochs",
            "must be below training.epochs",
        ),
    ],
)
def test_a_wrong_schedule_is_named_at_its_place(optimizer: str, place: str, message: str) -> None:
    found = errors(
        f"optimizer: {{name: sgd, {optimizer}}}", training={"epochs": {"low": 5, "high": 9}}
    )
    assert message in found[f"optimizer.{place}"]


def test_labels_of_classes_can_be_smoothed() -> None:
    space = parse(
        "{optimizer: {name: sgd}, training: {label_smoothing: {low: 0, high: 0.1}}}"
    ).space
    assert space.resolve({"training.label_smoothing": 0.05}).training.label_smoothing == 0.05
