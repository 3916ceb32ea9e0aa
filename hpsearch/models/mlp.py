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

DEFAULT_SCALE = 0.05  # in units of a weight
_Width = Annotated[int, Field(ge=1, le=65_536)]


@REGISTRY.register("mlp")
class Mlp(Model):
    """Linear layers with one activation between them."""

    family: Literal["mlp"] = "mlp"
    hidden_layers: Annotated[
        int,
        Field(ge=0, le=32, description="depth; 0 is softmax or linear regression"),
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

    @model_validator(mode="before")
    @classmethod
    def _depth_of_widths(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "hidden_layers" not in values:
            widths = values.get("hidden_units")
            if isinstance(widths, list | tuple):
                return {**values, "hidden_layers": len(widths)}
        return values

    @model_validator(mode="after")
    def _one_width_a_layer(self) -> "Mlp":
        if len(self.hidden_units) != self.hidden_layers:
            raise ValueError(
                f"hidden_units has {len(self.hidden_units)} entries for {self.hidden_layers} "
                "hidden layers"
            )
        return self

    @model_validator(mode="after")
    def _scale_is_used(self) -> "Mlp":
        # the default counts as not given, so that a dump of every field can be read again
        if self.init_scale != DEFAULT_SCALE and self.init not in {"normal", "uniform"}:
            raise ValueError("init_scale has a meaning for init normal and uniform only")
        return self

    def program(self) -> Hashable:
        """Return family, depth and activation."""
        return ("mlp", self.hidden_layers, self.activation)

    def shapes(self, n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:
        """Return the parameters as ``nn.Sequential`` does: ``0.weight, 0.bias ...``."""
        sizes = (n_inputs, *self.hidden_units, n_outputs)
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
            shapes[f"{2 * layer}.weight"] = (n_out, n_in)
            shapes[f"{2 * layer}.bias"] = (n_out,)
        return shapes

    def initial(
        self, n_inputs: int, n_outputs: int, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Draw weights layer by layer; biases are zero."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, shape in self.shapes(n_inputs, n_outputs).items():
            if len(shape) == 1:
                arrays[name] = np.zeros(shape)
            else:
                n_out, n_in = shape
                arrays[name] = draw_weight(self.init, n_out, n_in, self.init_scale, rng)
        return arrays

    def plain(self, n_inputs: int, n_outputs: int) -> "nn.Module":
        """Return an ``nn.Sequential`` of linear layers and activations."""
        from torch import nn

        from hpsearch.layers.activations import activation

        sizes = (n_inputs, *self.hidden_units, n_outputs)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), activation(self.activation).plain()]
        return nn.Sequential(*layers[:-1])

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
        from hpsearch.layers.feedforward import Feedforward
        from hpsearch.layers.products import Products

        return Feedforward(
            shapes,
            activation(self.activation),
            Products(is_exact=is_exact),
            n_rows=n_rows,
            device=device,
        )
