"""Sample plugins, so that the grammar is tested apart from the real ones."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hpsearch.spec.catalog import Catalog
from hpsearch.spec.fields import Searchable, Settings
from hpsearch.spec.sections import DatasetInfo, Task
from hpsearch.spec.yaml import load_yaml

Parse = Callable[[str], Any]
"""Parses YAML sections over a minimal definition; Any, because plugins have their own fields."""

Errors = Callable[[str], dict[str, str]]
"""Returns the messages of an invalid definition by dotted place."""

Width = Annotated[int, Field(ge=1, le=65_536)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Perceptron(Settings):
    family: Literal["mlp"] = "mlp"
    hidden_layers: Annotated[int, Field(ge=0, le=32), Searchable()] = 1
    hidden_units: Annotated[
        tuple[Width, ...], Searchable(per_layer="hidden_layers", default=128)
    ] = (128,)
    noise: Annotated[tuple[Share, ...], Searchable(per_layer="hidden_layers", default=0.0)] = (
        0.0,
    )
    activation: Annotated[Literal["relu", "tanh", "gelu"], Searchable()] = "relu"
    init: Annotated[Literal["he", "xavier", "normal", "uniform"], Searchable()] = "he"
    init_scale: Annotated[float, Field(gt=0, le=10), Searchable()] = 0.05

    @model_validator(mode="after")
    def _check(self) -> "Perceptron":
        if "init_scale" in self.model_fields_set and self.init not in {"normal", "uniform"}:
            raise ValueError("init_scale is only for init normal or uniform")
        if not len(self.hidden_units) == len(self.noise) == self.hidden_layers:
            raise ValueError("one entry per layer")
        return self


class Loop(Settings):
    """A family whose width is one number, and whose cell has no default."""

    family: Literal["loop"] = "loop"
    cell: Annotated[Literal["plain", "gated"], Searchable()]
    hidden_layers: Annotated[int, Field(ge=1, le=8), Searchable()] = 1
    hidden_units: Annotated[int, Field(ge=1, le=65_536), Searchable()] = 128
    noise: Annotated[Share, Searchable()] = 0.0


class Sgd(Settings):
    learning_rate: Annotated[float, Field(gt=0, le=1000), Searchable()] = 0.01
    momentum: Annotated[Share, Searchable()] = 0.0
    nesterov: Annotated[bool, Searchable()] = False
    l2: Annotated[float, Field(ge=0, le=1000), Searchable()] = 0.0
    clip: Annotated[Annotated[float, Field(gt=0)] | None, Searchable()] = None
    name: Literal["sgd"] = "sgd"


class Adam(Settings):
    learning_rate: Annotated[float, Field(gt=0, le=1000), Searchable()] = 1e-3
    beta1: Annotated[Share, Searchable()] = 0.9
    l2: Annotated[float, Field(ge=0, le=1000), Searchable()] = 0.0
    note: str = Field("", max_length=10)
    name: Literal["adam"] = "adam"


class Random(Settings):
    """A plugin that does not repeat its own name."""


class Tpe(Settings):
    name: Literal["tpe"] = "tpe"
    n_startup_trials: int = Field(10, ge=0)


class NoPruner(Settings):
    name: Literal["none"] = "none"


class Threshold(Settings):
    name: Literal["threshold"] = "threshold"
    lower: float
    upper: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "Threshold":
        if self.lower >= self.upper:
            raise ValueError("lower must be below upper")
        return self


def _dataset(name: str, task: Task, *, own_test: bool) -> DatasetInfo:
    return DatasetInfo(
        name=name, task=task, input_shape=(8, 8), n_outputs=10, has_test_split=own_test
    )


def sample_catalog() -> Catalog:
    """Return two plugins of each kind, and three data sets."""
    return Catalog(
        families={"loop": Loop, "mlp": Perceptron},
        optimizers={"adam": Adam, "sgd": Sgd},
        samplers={"random": Random, "tpe": Tpe},
        pruners={"none": NoPruner, "threshold": Threshold},
        datasets={
            "digits": _dataset("digits", Task.CLASSIFICATION, own_test=False),
            "mnist": _dataset("mnist", Task.CLASSIFICATION, own_test=True),
            "housing": _dataset("housing", Task.REGRESSION, own_test=False),
        },
    )


BASE: dict[str, Any] = {
    "name": "test",
    "dataset": {"name": "digits"},
    "model": {"family": "mlp"},
    "optimizer": {"name": "sgd"},
    "limits": {"max_trials": 10},
}


def yaml_value(text: str) -> Any:
    """Return the value of a YAML text."""
    return load_yaml(text)[0]
