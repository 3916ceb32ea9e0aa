"""What a model family promises: settings of one trial's network, and a program for many."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from hpsearch.registry import Registry
from hpsearch.spec.families import Family

if TYPE_CHECKING:  # the API process loads these settings and must never load torch
    import torch
    from torch import nn

    from hpsearch.layers.network import Network

REGISTRY = Registry("hpsearch.models")


class Model(Family, ABC):
    """One network: its settings, its shapes, its first weights.

    A family also says which networks may be trained as one program (:meth:`program`) and builds
    that program (:meth:`network`).
    """

    def fitted(self, input_shape: tuple[int, ...]) -> Self:
        """Return the settings with what follows from the examples filled in."""
        missing = {
            name: value
            for name, value in self.defaults_for(input_shape).items()
            if getattr(self, name) is None
        }
        return self.model_copy(update=missing) if missing else self

    @abstractmethod
    def program(self) -> Hashable:
        """Return what lanes of one pack must have in common, widths apart."""

    @abstractmethod
    def shapes(self, n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:
        """Return the trainable parameters by their plain ``torch.nn`` names."""

    def statistics(self, n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002 - for families
        """Return the values that are kept beside them and not trained, by the same names."""
        return {}

    def blocks(self) -> dict[str, int]:
        """Return how many blocks the first axis of a parameter holds, where it is not one.

        Lanes narrower than their pack are padded block by block.
        """
        return {}

    def dropout_rates(self) -> tuple[float, ...]:
        """Return the probability to drop of each layer that draws, in order."""
        return ()

    def most_lanes_on_cpu(self) -> int | None:
        """Return how many lanes pay on one CPU core; None: the widths decide."""
        return None

    @abstractmethod
    def initial(
        self, n_inputs: int, n_outputs: int, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Draw the first weights, and set the first statistics, in float64."""

    @abstractmethod
    def plain(self, n_inputs: int, n_outputs: int) -> "nn.Module":
        """Return the ``torch.nn`` network that a trained state dict loads into."""

    @abstractmethod
    def network(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        n_rows: int,
        is_exact: bool,
        device: "torch.device",
    ) -> "Network":
        """Return the program of a pack whose widest lane has these shapes and statistics."""

    def n_parameters(self, n_inputs: int, n_outputs: int) -> int:
        """Return the number of trainable weights."""
        return sum(int(np.prod(shape)) for shape in self.shapes(n_inputs, n_outputs).values())
