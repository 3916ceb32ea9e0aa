"""Multi-layer perceptrons, softmax regression (no hidden layer) included."""

from collections.abc import Hashable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hpsearch.models.base import REGISTRY, Model
from hpsearch.models.initial import InitName, draw_weight
from hpsearch.spec.fields import Searchable

if TYPE_CHECKING:  # the API process loads these settings and must never load torch
    import torch
    from torch import nn

    from hpsearch.layers.network import Network

ActivationName = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu"]

MAX_DEPTH = 32
DEFAULT_SCALE = 0.05  # in units of a weight
_Width = Annotated[int, Field(ge=1, le=65_536)]
_Rate = Annotated[float, Field(ge=0, lt=1)]


@REGISTRY.register("mlp")
class Mlp(Model):
    """Linear layers with one activation between them; batch norm and dropout if wanted."""

    family: Literal["mlp"] = "mlp"
    hidden_layers: Annotated[
        int,
        Field(ge=0, le=MAX_DEPTH, description="depth; 0 is softmax or linear regression"),
        Searchable(),
    ] = 1
    hidden_units: Annotated[
        tuple[_Width, ...],
        Field(description="width of each hidden layer"),
        Searchable(per_layer="hidden_layers", default=128),
    ] = (128,)
    activation: Annotated[
        ActivationName, Field(description="of all hidden layers"), Searchable()
    ] = "relu"
    init: Annotated[
        InitName, Field(description="of all weights; biases start at 0"), Searchable()
    ] = "he"
    init_scale: Annotated[
        float,
        Field(gt=0, le=10, description="deviation of `normal`, half width of `uniform`"),
        Searchable(),
    ] = DEFAULT_SCALE
    dropout: Annotated[
        tuple[_Rate, ...],
        Field(description="probability to drop, after the activation of each hidden layer"),
        Searchable(per_layer="hidden_layers", default=0.0),
    ] = (0.0,)
    batch_norm: Annotated[
        bool, Field(description="between linear and activation"), Searchable()
    ] = False

    @model_validator(mode="before")
    @classmethod
    def _depth_of_widths(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        widths = values.get("hidden_units")
        if isinstance(widths, list | tuple):
            filled.setdefault("hidden_layers", len(widths))
        depth = filled.get("hidden_layers", 1)
        if isinstance(depth, int) and 0 <= depth <= MAX_DEPTH:
            filled.setdefault("dropout", (0.0,) * depth)
        return filled

    @model_validator(mode="after")
    def _one_value_a_layer(self) -> "Mlp":
        for field, entries in (("hidden_units", self.hidden_units), ("dropout", self.dropout)):
            if len(entries) != self.hidden_layers:
                raise ValueError(
                    f"{field} has {len(entries)} entries for {self.hidden_layers} hidden layers"
                )
        return self

    @model_validator(mode="after")
    def _scale_is_used(self) -> "Mlp":
        # the default counts as not given, so that a dump of every field can be read again
        if self.init_scale != DEFAULT_SCALE and self.init not in {"normal", "uniform"}:
            raise ValueError("init_scale has a meaning for init normal and uniform only")
        return self

    def program(self) -> Hashable:
        """Return family, depth, activation, and whether there is batch norm."""
        return ("mlp", self.hidden_layers, self.activation, self.batch_norm)

    def shapes(self, n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:
        """Return the parameters as ``nn.Sequential`` does: ``0.weight, 0.bias ...``."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (n_in, n_out) in enumerate(self._sizes(n_inputs, n_outputs)):
            at = layer * self._modules_a_layer
            shapes[f"{at}.weight"] = (n_out, n_in)
            shapes[f"{at}.bias"] = (n_out,)
            if self.batch_norm and layer < self.hidden_layers:
                shapes[f"{at + 1}.weight"] = shapes[f"{at + 1}.bias"] = (n_out,)
        return shapes

    def statistics(self, n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002 - the interface
        """Return mean, variance and count of every batch norm."""
        if not self.batch_norm:
            return {}
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, width in enumerate(self.hidden_units):
            name = layer * self._modules_a_layer + 1
            shapes[f"{name}.running_mean"] = shapes[f"{name}.running_var"] = (width,)
            shapes[f"{name}.num_batches_tracked"] = ()
        return shapes

    def dropout_rates(self) -> tuple[float, ...]:
        """Return the rate of every hidden layer."""
        return self.dropout

    def initial(
        self, n_inputs: int, n_outputs: int, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Draw weights layer by layer; biases are zero, norms change nothing at first."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, shape in self.shapes(n_inputs, n_outputs).items():
            if len(shape) == 2:
                arrays[name] = draw_weight(self.init, *shape, self.init_scale, rng)
            else:
                is_norm = int(name.partition(".")[0]) % self._modules_a_layer == 1
                is_one = is_norm and name.endswith("weight")
                arrays[name] = np.ones(shape) if is_one else np.zeros(shape)
        for name, shape in self.statistics(n_inputs, n_outputs).items():
            arrays[name] = np.ones(shape) if name.endswith("var") else np.zeros(shape)
        return arrays

    def plain(self, n_inputs: int, n_outputs: int) -> "nn.Module":
        """Return an ``nn.Sequential`` of linear layers, batch norms and activations.

        It holds no dropout, which does nothing in evaluation and has no weights: so the names
        are the same at every rate.
        """
        from torch import nn

        from hpsearch.layers.activations import activation

        layers: list[nn.Module] = []
        for n_in, n_out in self._sizes(n_inputs, n_outputs):
            layers.append(nn.Linear(n_in, n_out))
            if self.batch_norm:
                layers.append(nn.BatchNorm1d(n_out))
            layers.append(activation(self.activation).plain())
        return nn.Sequential(*layers[: self._modules_a_layer * self.hidden_layers + 1])

    def network(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        n_rows: int,
        is_exact: bool,
        device: "torch.device",
    ) -> "Network":
        """Return the batched perceptron."""
        from hpsearch.layers.activations import activation
        from hpsearch.layers.affine import affine_of
        from hpsearch.layers.feedforward import Feedforward

        return Feedforward(
            shapes,
            activation(self.activation),
            affine_of(is_exact=is_exact, device=device),
            has_norm=self.batch_norm,
            n_rows=n_rows,
            device=device,
        )

    @property
    def _modules_a_layer(self) -> int:
        return 3 if self.batch_norm else 2

    def _sizes(self, n_inputs: int, n_outputs: int) -> list[tuple[int, int]]:
        return list(pairwise((n_inputs, *self.hidden_units, n_outputs)))
