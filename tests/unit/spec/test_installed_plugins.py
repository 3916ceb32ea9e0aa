"""The grammar over the plugins that ship: the definitions of the contract, as they stand."""

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hpsearch.catalog import installed_catalog
from hpsearch.errors import InvalidDefinition
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.schema import json_schema
from hpsearch.spec.sections import DatasetInfo, Task
from tests.unit.spec.sample_catalog import yaml_value

RANDOM_SEARCH = """
name: mnist-random
dataset: {name: mnist, validation_fraction: 0.08333, normalize: none}
model: {family: mlp, hidden_layers: {low: 1, high: 2}, hidden_units: {choices: [128, 256]}, init: normal, init_scale: 1.0}
optimizer: {name: sgd, learning_rate: {low: 1e-6, high: 1, log: true}, momentum: {low: 0.5, high: 0.999, log: true}, l2: {low: 1e-4, high: 1, log: true}}
training: {epochs: 20, batch_size: 50, early_stopping: {metric: val_loss, patience: 1}}
objectives: [{metric: val_accuracy}]
sampler: {name: random}
limits: {max_trials: 10}
"""  # noqa: E501 - as written

ARCHITECTURES = """
name: mnist-small
dataset: {name: mnist}
model: {family: mlp, hidden_units: {choices: [[32], [64], [128], [64, 32], [500, 300]]}}
optimizer: {name: adam, learning_rate: {low: 1e-4, high: 1e-2, log: true}}
training: {epochs: 20}
objectives: [{metric: val_accuracy}, {metric: n_parameters}]
limits: {max_trials: 120}
"""

REGRESSION = """
name: housing
dataset: {name: housing, test_fraction: 0.2, validation_fraction: 0.2, split_seed: 7}
model: {family: mlp, hidden_layers: {low: 0, high: 3}, hidden_units: {low: 8, high: 128, step: 8}}
optimizer: {name: adam, learning_rate: {low: 1e-4, high: 3e-2, log: true}, l2: {low: 1e-6, high: 0.1, log: true}}
training: {epochs: {low: 50, high: 200, step: 50}, batch_size: {low: 16, high: 256, log: true}, early_stopping: {metric: val_rmse, patience: 15, min_delta: 0.5}}
objectives: [{metric: val_rmse, target_value: 40}]
limits: {max_trials: 100}
"""  # noqa: E501 - as written

NOISE = """
name: noise
dataset: {name: mnist}
model: {family: mlp, hidden_units: [500, 300]}
optimizer: {name: sgd, learning_rate: 2e-3, momentum: 0.98, l2: 1e-3}
training: {epochs: 20, batch_size: 100, data_order: per_trial}
sampler: {name: random}
limits: {max_trials: 10}
"""


def parsed(text: str) -> Definition:
    return parse_definition(yaml_value(text), installed_catalog())


@pytest.mark.parametrize("text", [RANDOM_SEARCH, ARCHITECTURES, NOISE])
def test_the_contracts_definitions_parse_and_their_documents_are_final(text: str) -> None:
    definition = parsed(text)
    again = parse_definition(definition.document, installed_catalog())
    assert json.dumps(again.document) == json.dumps(definition.document)
    validator = Draft202012Validator(json_schema(installed_catalog()))
    validator.validate(yaml_value(text))
    validator.validate(definition.document)


def test_the_random_search_has_the_parameters_the_contract_names() -> None:
    definition = parsed(RANDOM_SEARCH)
    assert set(definition.space.domains) == {
        "model.hidden_layers",
        "model.hidden_units[0]",
        "model.hidden_units[1]",
        "optimizer.learning_rate",
        "optimizer.momentum",
        "optimizer.l2",
    }
    assert definition.space.is_conditional
    assert definition.space.max_epochs == 20


def test_an_architecture_is_one_parameter() -> None:
    space = parsed(ARCHITECTURES).space
    model: Any = space.resolve(
        {"model.hidden_units": "[500,300]", "optimizer.learning_rate": 1e-3}
    ).model
    assert (model.hidden_layers, model.hidden_units) == (2, (500, 300))


def test_one_setting_is_an_empty_space() -> None:
    definition = parsed(NOISE)
    assert definition.space.is_empty
    config: Any = definition.space.resolve({})
    assert config.model.hidden_units == (500, 300)
    assert (config.optimizer.momentum, config.training.data_order) == (0.98, "per_trial")


@pytest.mark.parametrize("init", ["he", "{choices: [he, normal]}"])
def test_a_scale_without_meaning_is_refused_wherever_it_could_be_drawn(init: str) -> None:
    text = NOISE.replace("[500, 300]", f"[8], init: {init}, init_scale: 0.1")
    with pytest.raises(InvalidDefinition) as caught:
        parsed(text)
    assert [error.loc for error in caught.value.errors] == [("model", "init_scale")]


def test_a_regression_parses_once_its_data_set_exists() -> None:
    with pytest.raises(InvalidDefinition, match="there is no dataset 'housing'"):
        parsed(REGRESSION)
    housing = DatasetInfo(
        name="housing", task=Task.REGRESSION, input_shape=(8,), n_outputs=1, has_test_split=False
    )
    known = installed_catalog()
    catalog = replace(known, datasets={**known.datasets, "housing": housing})
    definition = parse_definition(yaml_value(REGRESSION), catalog)
    assert parse_definition(definition.document, catalog).document == definition.document
    assert (definition.goal_metric, definition.goal_direction) == ("val_rmse", "minimize")
    assert definition.space.max_epochs == 200


@pytest.mark.parametrize(
    ("section", "loc"),
    [
        ("model: {family: recurrent}", ("model", "family")),
        ("model: {family: mlp, dropout: 0.1}", ("model", "dropout")),
        ("model: {family: mlp, batch_norm: true}", ("model", "batch_norm")),
    ],
)
def test_what_comes_later_is_said_to_come_later(section: str, loc: tuple[str, ...]) -> None:
    document = {**yaml_value(NOISE), **yaml_value(section)}
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document, installed_catalog())
    assert [error.loc for error in caught.value.errors] == [loc]
    assert "not yet supported" in caught.value.errors[0].msg
