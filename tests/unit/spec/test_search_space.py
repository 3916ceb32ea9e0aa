"""Points of a search space: suggested, resolved, encoded, counted."""

from typing import Any

import pytest

from hpsearch.errors import RequestInvalid
from tests.unit.spec.sample_catalog import Parse

SPACE = """
model: {family: mlp, hidden_units: {choices: [[32], [500, 300]]}, noise: {low: 0, high: 0.5}}
optimizer:
  choices:
  - {name: sgd, learning_rate: {low: 1, high: 2, step: 0.25}}
  - {name: adam}
training: {epochs: {low: 5, high: 20, step: 5}, batch_size: {choices: [16, 32]}}
"""

POINT: dict[str, Any] = {
    "model.hidden_units": "[32]",
    "model.noise[0]": 0.25,
    "optimizer": "sgd",
    "optimizer.sgd.learning_rate": 1.5,
    "training.epochs": 10,
    "training.batch_size": 16,
}


def test_a_point_resolves_to_a_trial_with_every_value(parse: Parse) -> None:
    config = parse(SPACE).space.resolve(POINT)
    assert config.document() == {
        "model": {
            "family": "mlp",
            "hidden_layers": 1,
            "hidden_units": [32],
            "noise": [0.25],
            "activation": "relu",
            "init": "he",
            "init_scale": 0.05,
        },
        "optimizer": {
            "learning_rate": 1.5,
            "momentum": 0.0,
            "nesterov": False,
            "l2": 0.0,
            "clip": None,
            "name": "sgd",
        },
        "training": {
            "epochs": 10,
            "batch_size": 16,
            "label_smoothing": 0.0,
            "data_order": "shared",
            "early_stopping": None,
        },
    }


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"training.epochs": 11}, {"training.epochs": "from 5 to 20 in steps of 5, got 11"}),
        ({"training.epochs": 25}, {"training.epochs": "got 25"}),
        ({"training.epochs": 10.0}, {"training.epochs": "must be a whole number"}),
        ({"training.epochs": True}, {"training.epochs": "got true"}),
        ({"training.batch_size": 64}, {"training.batch_size": "must be one of 16, 32, got 64"}),
        ({"training.batch_size": True}, {"training.batch_size": "got true"}),
        ({"optimizer.sgd.learning_rate": 1.3}, {"optimizer.sgd.learning_rate": "in steps of"}),
        ({"optimizer.sgd.learning_rate": "1"}, {"optimizer.sgd.learning_rate": 'got "1"'}),
        ({"optimizer.sgd.learning_rate": 10**400}, {"optimizer.sgd.learning_rate": "401 digits"}),
        ({"model.noise[0]": float("nan")}, {"model.noise[0]": "got NaN"}),
        ({"model.hidden_units": [32]}, {"model.hidden_units": "must be one of"}),
        ({"optimizer": "adam"}, {"optimizer.sgd.learning_rate": "has no meaning at this point"}),
        ({"optimizer": "rmsprop"}, {"optimizer": 'must be one of "sgd", "adam"'}),
        ({"model.noise[1]": 0.1}, {"model.noise[1]": "another branch or depth is chosen"}),
        ({"training.epoch": 1}, {"training.epoch": "did you mean training.epochs?"}),
        (
            {"training.epochs": 0, "training.batch_size": 0, "what": 1},
            {
                "training.epochs": "got 0",
                "training.batch_size": "got 0",
                "what": "is no parameter of this study",
            },
        ),
    ],
)
def test_a_point_outside_the_space_is_refused_by_name(
    parse: Parse, change: dict[str, Any], errors: dict[str, str]
) -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse(SPACE).space.resolve({**POINT, **change})
    found = {error.loc[1]: error.msg for error in caught.value.errors}
    assert found.keys() == errors.keys()
    for name, message in errors.items():
        assert message in found[name]


def test_a_missing_parameter_is_named(parse: Parse) -> None:
    point = {name: value for name, value in POINT.items() if name != "training.epochs"}
    with pytest.raises(RequestInvalid, match=r"training\.epochs: is missing"):
        parse(SPACE).space.resolve(point)


def test_lists_are_encoded_as_compact_text_and_decoded_again(parse: Parse) -> None:
    space = parse(SPACE).space
    assert space.encode("model.hidden_units", [500, 300]) == "[500,300]"
    assert space.encode("model.hidden_units", "[500,300]") == "[500,300]"
    assert space.decode("model.hidden_units", "[500,300]") == [500, 300]
    assert space.decode("optimizer", "sgd") == "sgd"
    assert repr(space.encode("optimizer.sgd.learning_rate", 1)) == "1.0"
    with pytest.raises(RequestInvalid, match="must be one of"):
        space.encode("model.hidden_units", [64])
    with pytest.raises(RequestInvalid, match=r"did you mean model\.hidden_units"):
        space.encode("hidden_units", [32])


def test_the_highest_number_of_epochs_is_known(parse: Parse) -> None:
    assert parse(SPACE).space.max_epochs == 20
    assert parse("training: {epochs: 7}").space.max_epochs == 7
    assert parse("training: {epochs: {choices: [3, 9, 4]}}").space.max_epochs == 9
    assert parse("").space.max_epochs == 20


def test_parameters_come_in_one_order_behind_what_they_depend_on(parse: Parse) -> None:
    space = parse(SPACE).space
    first = list(space.suggest(lambda name, domain: POINT[name]))
    assert first == list(POINT)
    assert list(space.suggest(lambda name, domain: POINT[name])) == first


def test_a_space_without_ranges_is_one_point(parse: Parse) -> None:
    space = parse("").space
    assert space.is_empty
    assert not space.is_conditional
    assert space.size() == 1
    assert space.suggest(lambda name, domain: None) == {}
    assert space.resolve({}).model.hidden_units == (128,)


def test_sizes_multiply_and_a_continuum_is_infinite(parse: Parse) -> None:
    finite = """
    optimizer: {name: sgd, momentum: {low: 0, high: 0.9, step: 0.1}}
    training: {epochs: {low: 5, high: 20, step: 5}, batch_size: {low: 16, high: 32, log: true}}
    """
    assert parse(finite).space.size() == 10 * 4 * 17
    assert parse("optimizer: {name: sgd, momentum: {low: 0, high: 0.9}}").space.size() is None
