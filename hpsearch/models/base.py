"""What a model family promises: settings of one trial's network, and a program for many."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.registry import Registry
from hpsearch.spec.fields import Settings

if TYPE_CHECKING:  # the API process loads these settings and must never load torch
    import torch
    from torch import nn

    from hpsearch.layers.network import Network

REGISTRY = Registry("hpsearch.models")


class Model(Settings, ABC):
    """One network: its settings, its shapes, its first weights.

    A family also says which networks may be trained as one program (:meth:`program`) and builds
    that program (:meth:`network`).
    """

    @abstractmethod
    def program(self) -> Hashable:
        """Return what lanes of one pack must have in common, widths apart."""

    @abstractmethod
    def shapes(self, n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:
        """Return the trainable parameters by their plain ``torch.nn`` names."""

    @abstractmethod
    def initial(
        self, n_inputs: int, n_outputs: int, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Draw the first weights, in float64."""

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
        """Return the program of a pack whose widest parameters have these shapes."""

    def n_parameters(self, n_inputs: int, n_outputs: int) -> int:
        """Return the number of trainable weights."""
        return sum(int(np.prod(shape)) for shape in self.shapes(n_inputs, n_outputs).values())
