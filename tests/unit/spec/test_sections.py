"""The sections without a search space, their defaults, and the rules between them."""

from typing import Any

import pytest

from hpsearch.errors import InvalidDefinition
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.definition import parse_definition
from hpsearch.spec.sections import Direction, Task
from hpsearch.spec.yaml import load_yaml
from tests.unit.spec.sample_catalog import Errors, Parse


def test_every_default_is_filled_in(parse: Parse) -> None:
    assert parse("").document == {
        "name": "test",
        "description": "",
        "tags": [],
        "weight": 1.0,
        "seed": 0,
        "warm_start": None,
        "dataset": {
            "name": "digits",
            "validation_fraction": 0.1,
            "test_fraction": 0.2,
            "train_fraction": 1.0,
            "split_seed": 0,
            "normalize": "standard",
        },
        "model": {
            "family": "mlp",
            "hidden_layers": 1,
            "hidden_units": 128,
            "noise": 0.0,
            "activation": "relu",
            "init": "he",
        },
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.01,
            "momentum": 0.0,
            "nesterov": False,
            "l2": 0.0,
            "clip": None,
        },
        "training": {
            "epochs": 20,
            "batch_size": 128,
            "label_smoothing": 0.0,
            "data_order": "shared",
            "early_stopping": None,
        },
        "objectives": [{"metric": "val_accuracy", "direction": "maximize", "target_value": None}],
        "sampler": {"name": "tpe", "n_startup_trials": 10},
        "pruner": {"name": "none"},
        "limits": {
            "max_trials": 10,
            "max_concurrent_trials": None,
            "max_failed_trials": None,
            "max_attempts": 3,
            "timeout_s": None,
            "trial_timeout_s": None,
            "device_seconds": None,
        },
        "execution": {"lanes": "auto", "device": "auto", "precision": "exact"},
    }


def test_a_sampler_without_a_name_is_the_default_one(parse: Parse) -> None:
    document = parse("sampler: {n_startup_trials: 5}").document
    assert document["sampler"] == {"name": "tpe", "n_startup_trials": 5}
    assert parse("pruner: {}").document["pruner"] == {"name": "none"}


def test_a_definition_gives_its_sections(parse: Parse) -> None:
    definition = parse(
        """
        name: a.b-c_1
        description: Notes
        tags: [mnist, course]
        weight: 2
        seed: 9223372036854775807
        training: {early_stopping: {patience: 3}}
        execution: {lanes: 4}
        """
    )
    assert (definition.name, definition.description) == ("a.b-c_1", "Notes")
    assert definition.tags == ("mnist", "course")
    assert (definition.weight, definition.seed) == (2.0, 2**63 - 1)
    assert definition.task is Task.CLASSIFICATION
    assert definition.dataset.test_fraction == 0.2
    assert definition.early_stopping.patience == 3
    assert definition.early_stopping.metric == "val_loss"
    assert definition.execution.lanes == 4
    assert definition.limits.max_trials == 10
    assert definition.sampler.name == "tpe"
    assert definition.warnings == ()


def test_a_data_set_with_its_own_test_split_takes_no_test_fraction(
    parse: Parse, errors: Errors
) -> None:
    assert parse("dataset: {name: mnist}").dataset.test_fraction is None
    assert errors("dataset: {name: mnist, test_fraction: 0.1}") == {
        "dataset.test_fraction": "must be left out: mnist has a test split of its own"
    }
    assert parse("dataset: {name: digits, test_fraction: 0.3}").dataset.test_fraction == 0.3
    assert parse("dataset: {name: digits, test_fraction: null}").dataset.test_fraction == 0.2


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("dataset: {name: minst}", "dataset.name", "no dataset 'minst'; did you mean mnist?"),
        ("dataset: {}", "dataset.name", "is required"),
        ("dataset: mnist", "dataset", "must be an object such as {name: mnist}"),
        (
            "dataset: {name: digits, validation_fraction: 0}",
            "dataset.validation_fraction",
            "got 0",
        ),
        ("name: Test", "name", 'got "Test"'),
        ("name: ''", "name", "must be text that matches"),
        (f"name: {'a' * 64}", "name", "must be text that matches"),
        ("weight: 0", "weight", "must be a number from 0.01 to 100, got 0"),
        ("seed: -1", "seed", "must be a whole number of at least 0 and below 9,223"),
        ("tags: [1]", "tags", "must be a list"),
        (f"tags: [{'a, ' * 21}]", "tags", "must be a list of at most 20 entries"),
        ("tags: ['']", "tags", "each text of 1 to 40 characters"),
        ("warm_start: {studies: []}", "warm_start.studies", "must be a list of 1 to 10 entries"),
        ("objectives: []", "objectives", "must be a list of 1 to 4 objects"),
        ("objectives: val_loss", "objectives", "must be a list of 1 to 4 objects"),
        ("objectives: [val_loss]", "objectives.0", "such as {metric: val_loss}"),
        ("objectives: [{}]", "objectives.0.metric", "is required"),
        ("objectives: [{metric: 3}]", "objectives.0.metric", "must be text, got 3"),
        ("objectives: [{metric: accuracy}]", "objectives.0.metric", "did you mean val_accuracy?"),
        ("objectives: [{metric: train_loss}]", "objectives.0.metric", "examples trained on"),
        ("objectives: [{metric: test_loss}]", "objectives.0.metric", "test split is kept"),
        ("objectives: [{metric: seconds}]", "objectives.0.metric", "is recorded, but no goal"),
        (
            "objectives: [{metric: val_rmse}]",
            "objectives.0.metric",
            '"val_rmse" cannot be chosen: this is a classification data set, '
            "with val_loss, val_accuracy or n_parameters",
        ),
        (
            "objectives: [{metric: val_loss}, {metric: val_loss}]",
            "objectives.1.metric",
            "val_loss is an objective already",
        ),
        (
            "objectives: [{metric: val_loss, direction: up}]",
            "objectives.0.direction",
            'one of minimize, maximize or null, got "up"',
        ),
        (
            "training: {early_stopping: {metric: val_rmse}}",
            "training.early_stopping.metric",
            "this is a classification data set",
        ),
        (
            "training: {early_stopping: {metric: n_parameters}}",
            "training.early_stopping.metric",
            "there is no metric",
        ),
        ("training: {early_stopping: 3}", "training.early_stopping", "must be an object"),
        (
            "training: {early_stopping: {patience: 0}}",
            "training.early_stopping.patience",
            "of at least 1, got 0",
        ),
        (
            "training: {early_stopping: {patiense: 3}}",
            "training.early_stopping.patiense",
            "did you mean patience?",
        ),
        ("training: null", "training", "must be an object with the fields"),
        ("limits: {}", "limits", "set at least one of max_trials, timeout_s or device_seconds"),
        ("limits: {max_trials: null}", "limits", "the study never ends"),
        ("limits: {max_trials: 0}", "limits.max_trials", "from 1 to 1,000,000 or null, got 0"),
        ("limits: 10", "limits", "must be an object"),
        ("execution: {lanes: 0}", "execution.lanes", "auto or a whole number from 1 to 4,096"),
        ("execution: {device: gpu}", "execution.device", "one of auto, cpu, cuda"),
        ("sampler: random", "sampler", 'such as {name: random}, got "random"'),
        ("sampler: {name: tpee}", "sampler.name", "did you mean tpe?"),
        (
            "sampler: {name: random, n_startup_trials: 3}",
            "sampler.n_startup_trials",
            "sampler tpe",
        ),
        (
            "sampler: {choices: [{name: tpe}]}",
            "sampler.choices",
            "one sampler for the whole study",
        ),
        ("pruner: {name: threshold}", "pruner.lower", "is required: a number"),
        ("n_trials: 10", "n_trials", "did you mean max_trials, in limits?"),
        ("optimizr: {name: sgd}", "optimizr", "unknown field; did you mean optimizer?"),
        ("learning_rate: 0.1", "learning_rate", "learning_rate belongs to optimizer"),
        ("model: {family: mlp, epochs: 3}", "model.epochs", "epochs belongs to training"),
        ("optimizer: {name: sgd, lr: 1}", "optimizer.lr", "did you mean learning_rate?"),
        ("optimizer: {name: sgd, weight_decay: 1}", "optimizer.weight_decay", "use l2 here"),
        ("optimizer: {name: adam, note: {a: 1}}", "optimizer.note", "must be text"),
    ],
)
def test_a_mistake_is_named_at_its_place(
    errors: Errors, text: str, place: str, message: str
) -> None:
    assert message in errors(text)[place]


def test_a_regression_has_its_own_metrics_and_default(parse: Parse, errors: Errors) -> None:
    definition = parse("dataset: {name: housing}")
    assert definition.document["objectives"][0]["metric"] == "val_loss"
    assert definition.goal_direction is Direction.MINIMIZE
    parse("dataset: {name: housing}\nobjectives: [{metric: val_rmse}, {metric: val_r2}]")
    assert (
        "regression"
        in errors("dataset: {name: housing}\nobjectives: [{metric: val_accuracy}]")[
            "objectives.0.metric"
        ]
    )


def test_the_direction_follows_from_the_metric_and_against_it_is_a_warning(parse: Parse) -> None:
    definition = parse(
        "objectives: [{metric: val_loss, direction: maximize}, {metric: val_accuracy}]"
    )
    assert [item.direction for item in definition.objectives] == ["maximize", "maximize"]
    assert definition.warnings == (
        "objectives: val_loss is usually minimized, but this study asks to maximize it",
    )


def test_the_first_metric_of_every_epoch_is_the_goal(parse: Parse) -> None:
    definition = parse("objectives: [{metric: n_parameters}, {metric: val_accuracy}]")
    assert (definition.goal_metric, definition.goal_direction) == ("val_accuracy", "maximize")
    definition = parse("objectives: [{metric: n_parameters}]")
    assert (definition.goal_metric, definition.goal_direction) == ("val_loss", "minimize")


def test_any_of_three_limits_ends_a_study(parse: Parse) -> None:
    for limit in ("timeout_s: 1.5", "device_seconds: 60", "max_trials: 1"):
        parse(f"limits: {{{limit}}}")


def test_all_mistakes_come_in_one_answer_with_their_lines(catalog: Catalog) -> None:
    text = """\
name: Bad Name
dataset: {name: digits, normalise: none}
model: {family: mlp, hidden_units: {low: 9, high: 8}}
optimizer:
  name: sgd
  momentum: 1.5
training:
  batch_size: 0
objectives: [{metric: loss}]
"""
    raw, lines = load_yaml(text)
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(raw, catalog, lines)
    assert [(str(error).partition(":")[0]) for error in caught.value.errors] == [
        "name (line 1)",
        "dataset.normalise (line 2)",
        "model.hidden_units (line 3)",
        "optimizer.momentum (line 6)",
        "training.batch_size (line 8)",
        "objectives[0].metric (line 9)",
        "limits",
    ]
    assert caught.value.errors[3].input == 1.5


def test_an_empty_definition_says_what_is_missing(catalog: Catalog) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition({}, catalog)
    assert [error.loc for error in caught.value.errors] == [
        ("name",),
        ("dataset",),
        ("model",),
        ("optimizer",),
        ("limits",),
    ]


@pytest.mark.parametrize("raw", [None, [], "text", 3, True, [{}], 1.5, object(), b"name"])
def test_what_is_no_object_is_refused_with_words(catalog: Catalog, raw: Any) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(raw, catalog)
    assert caught.value.errors[0].loc == ()
    assert len(caught.value.errors) == 1


def test_labels_of_a_regression_cannot_be_smoothed(errors: Errors) -> None:
    messages = errors("{dataset: {name: housing}, training: {label_smoothing: 0.1}}")
    assert "classification only" in messages["training.label_smoothing"]
