"""Recurrent networks over sequences, image rows among them: vanilla cells, GRU, LSTM."""

from collections.abc import Hashable, Mapping
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

DEFAULT_SCALE = 0.05  # in units of a weight
_GATES = {"vanilla": 1, "gru": 3, "lstm": 4}
_FORGET = 1  # the LSTM's second gate
_NARROW = 128  # units: up to here a CPU core gains by four lanes, beyond by two


def runs_lane_by_lane(cell: str, device_type: str) -> bool:
    """Return whether torch's own kernel beats torch's products over all lanes.

    On a CPU an LSTM runs in one kernel of oneDNN, which those never come near. A GRU is MKL's
    products step by step, which are slow on the processors where :class:`Products` goes to oneDNN.
    """
    from hpsearch.layers.products import has_wide_products

    if device_type != "cpu" or cell == "vanilla":
        return False
    return cell == "lstm" or not has_wide_products()


@REGISTRY.register("recurrent")
class Recurrent(Model):
    """Layers of recurrent cells; a linear layer on the last step's output decides."""

    family: Literal["recurrent"] = "recurrent"
    cell: Annotated[
        Literal["vanilla", "gru", "lstm"], Field(description="torch.nn's equations"), Searchable()
    ]
    hidden_layers: Annotated[int, Field(ge=1, le=8, description="depth"), Searchable()] = 1
    hidden_units: Annotated[
        int, Field(ge=1, le=65_536, description="width of every layer"), Searchable()
    ] = 128
    activation: Annotated[
        Literal["tanh", "relu"], Field(description="of vanilla cells"), Searchable()
    ] = "tanh"
    init: Annotated[
        InitName,
        Field(description="of the weights from step to step; others are xavier_uniform"),
        Searchable(),
    ] = "orthogonal"
    init_scale: Annotated[
        float,
        Field(gt=0, le=10, description="deviation of `normal`, half width of `uniform`"),
        Searchable(),
    ] = DEFAULT_SCALE
    dropout: Annotated[
        float,
        Field(ge=0, lt=1, description="probability to drop, on every layer's output"),
        Searchable(),
    ] = 0.0
    steps: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Field(description="length of the sequence an input is cut into; null: its rows"),
        Searchable(),
    ] = None

    @model_validator(mode="after")
    def _activation_is_used(self) -> "Recurrent":
        if self.activation != "tanh" and self.cell != "vanilla":
            raise ValueError("activation has a meaning for cell vanilla only")
        return self

    @model_validator(mode="after")
    def _scale_is_used(self) -> "Recurrent":
        # the default counts as not given, so that a dump of every field can be read again
        if self.init_scale != DEFAULT_SCALE and self.init not in {"normal", "uniform"}:
            raise ValueError("init_scale has a meaning for init normal and uniform only")
        return self

    @classmethod
    def defaults_for(cls, input_shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the rows of a picture, the steps of a sequence; of plain features one each."""
        return {"steps": input_shape[0] if input_shape else 1}

    def misfit(self, input_shape: tuple[int, ...]) -> tuple[str, str] | None:
        """Return what is wrong if ``steps`` does not divide the input."""
        n_inputs = int(np.prod(input_shape, dtype=np.int64))
        if self.steps is None or n_inputs % self.steps == 0:
            return None
        near = [n for n in range(1, n_inputs + 1) if n_inputs % n == 0]
        below = max((n for n in near if n < self.steps), default=1)
        above = min((n for n in near if n > self.steps), default=n_inputs)
        nearest = f"that do are {below} and {above}" if below < above else f"that does is {below}"
        return "steps", (
            f"must divide the {n_inputs:,} inputs of an example, got {self.steps}; "
            f"the nearest {nearest}"
        )

    def program(self) -> Hashable:
        """Return family, cell, depth, activation and steps."""
        return ("recurrent", self.cell, self.hidden_layers, self.activation, self.steps)

    def shapes(self, n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:
        """Return the parameters of ``rnn`` as torch names them, then those of ``output``."""
        rows = _GATES[self.cell] * self.hidden_units
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.hidden_layers):
            n_in = self.hidden_units if layer else n_inputs // (self.steps or 1)
            shapes[f"rnn.weight_ih_l{layer}"] = (rows, n_in)
            shapes[f"rnn.weight_hh_l{layer}"] = (rows, self.hidden_units)
            shapes[f"rnn.bias_ih_l{layer}"] = shapes[f"rnn.bias_hh_l{layer}"] = (rows,)
        shapes["output.weight"] = (n_outputs, self.hidden_units)
        shapes["output.bias"] = (n_outputs,)
        return shapes

    def blocks(self) -> dict[str, int]:
        """Return the gates of every recurrent parameter."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return {
            f"rnn.{name}_l{layer}": _GATES[self.cell]
            for layer in range(self.hidden_layers)
            for name in names
        }

    def dropout_rates(self) -> tuple[float, ...]:
        """Return the rate of every layer."""
        return (self.dropout,) * self.hidden_layers

    def most_lanes_on_cpu(self) -> int | None:
        """Return 1 where torch's own kernels run lanes one by one."""
        import torch

        from hpsearch.layers.affine import processor_for

        here = processor_for(is_exact=False, device=torch.device("cpu"))
        if here is None and runs_lane_by_lane(self.cell, "cpu"):
            return 1
        return 4 if self.hidden_units <= _NARROW else 2

    def initial(
        self, n_inputs: int, n_outputs: int, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Draw the weights gate by gate; biases are zero, but the LSTM forgets with 1."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, shape in self.shapes(n_inputs, n_outputs).items():
            if len(shape) == 1:
                arrays[name] = np.zeros(shape)
                continue
            init: InitName = self.init if "weight_hh" in name else "xavier_uniform"
            n_gates = _GATES[self.cell] if name.startswith("rnn.") else 1
            gates = [
                draw_weight(init, shape[0] // n_gates, shape[1], self.init_scale, rng)
                for _ in range(n_gates)
            ]
            arrays[name] = np.concatenate(gates)
        if self.cell == "lstm":
            for layer in range(self.hidden_layers):
                bias = arrays[f"rnn.bias_ih_l{layer}"]
                bias[_FORGET * self.hidden_units : (_FORGET + 1) * self.hidden_units] = 1.0
        return arrays

    def plain(self, n_inputs: int, n_outputs: int) -> "nn.Module":
        """Return a module with ``rnn``, one of torch's, and ``output``, a linear layer.

        It holds no dropout, which does nothing in evaluation.
        """
        from torch import nn

        from hpsearch.layers.sequences import SequenceClassifier

        n_features = n_inputs // (self.steps or 1)
        sizes = (n_features, self.hidden_units, self.hidden_layers)
        rnn: nn.RNNBase
        if self.cell == "vanilla":
            rnn = nn.RNN(*sizes, nonlinearity=self.activation)
        else:
            rnn = nn.GRU(*sizes) if self.cell == "gru" else nn.LSTM(*sizes)
        return SequenceClassifier(rnn, self.steps or 1, n_outputs)

    def network(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        n_rows: int,
        is_exact: bool,
        device: "torch.device",
    ) -> "Network":
        """Return the batched network: by our own machine code where there is some.

        Else by torch, or lane by lane in torch's own kernel.
        """
        from hpsearch.layers import gated, recurrent
        from hpsearch.layers.activations import activation
        from hpsearch.layers.affine import processor_for
        from hpsearch.layers.cells import cell
        from hpsearch.layers.products import Products

        n_steps = self.steps or 1
        found = processor_for(is_exact=is_exact, device=device)
        if found is not None:
            from hpsearch.layers.native_recurrent import NativeRecurrent

            name = self.activation if self.cell == "vanilla" else self.cell
            return NativeRecurrent(
                shapes, name, found, is_exact=is_exact, n_steps=n_steps, n_rows=n_rows
            )
        if runs_lane_by_lane(self.cell, device.type):
            return gated.Gated(shapes, self.cell, n_steps=n_steps, n_rows=n_rows, device=device)
        return recurrent.Recurrent(
            shapes,
            cell(self.cell, activation(self.activation)),
            Products(is_exact=is_exact),
            n_steps=n_steps,
            n_rows=n_rows,
            device=device,
        )
