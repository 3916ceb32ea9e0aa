"""The layers of a trained network, as its config and the names of its weights tell them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hpsearch.errors import InvalidRequest

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Dense:
    """``x @ weight.T + bias``, with weights called ``{name}.weight`` and ``{name}.bias``."""

    name: str


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation by the running statistics called ``{name}.running_mean`` ..."""

    name: str


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of every value: relu, leaky_relu, tanh, sigmoid or gelu."""

    kind: str


@dataclass(frozen=True, slots=True)
class Cells:
    """One layer of recurrent cells over a sequence, with the names of ``torch.nn``.

    Attributes:
        cell: vanilla, gru or lstm.
        activation: Of vanilla cells.
        suffix: ``_l0`` for the first layer.
    """

    cell: str
    activation: str
    suffix: str


Layer = Dense | Norm | Activation | Cells


def layers_of(model: Mapping[str, Any], weights: Weights) -> list[Layer]:
    """Return the layers in the order they are applied.

    Args:
        model: The ``model`` section of a trial's config.
        weights: The trained tensors.

    Raises:
        InvalidRequest: The family is a plugin that this room does not know.
    """
    if model.get("family") == "mlp":
        return _feedforward(model["activation"], weights)
    if model.get("family") == "recurrent":
        depth = sum(name.startswith("rnn.weight_hh_l") for name in weights)
        cells = [Cells(model["cell"], model["activation"], f"_l{layer}") for layer in range(depth)]
        return [*cells, Dense("output")]
    raise InvalidRequest(
        f"networks of family {model.get('family')!r} can be had as format=safetensors alone"
    )


def n_features(weights: Weights) -> int:
    """Return the features of one step of a recurrent network."""
    return int(weights["rnn.weight_ih_l0"].shape[1])


def _feedforward(activation: str, weights: Weights) -> list[Layer]:
    indices = sorted({int(name.partition(".")[0]) for name in weights})
    layers: list[Layer] = []
    for index in indices:
        is_norm = f"{index}.running_mean" in weights
        if layers and not is_norm:  # a linear layer behind a hidden one, normed or not
            layers.append(Activation(activation))
        layers.append(Norm(str(index)) if is_norm else Dense(str(index)))
    return layers
