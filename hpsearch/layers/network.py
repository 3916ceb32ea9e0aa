"""A network over lanes: what the training engine asks of every model family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from hpsearch.layers.stack import Shapes


class Network(ABC):
    """The forward and backward program of a pack; the parameters live outside, in stacks.

    Attributes:
        shapes: Parameters of the widest lane, by their plain ``torch.nn`` names.
        is_weight: Which of them ``l1`` and ``l2`` apply to.
    """

    shapes: Shapes
    is_weight: tuple[bool, ...]

    @abstractmethod
    def forward(self, parameters: Sequence[Tensor], x: Tensor) -> Tensor:
        """Return the outputs ``[lanes, outputs, batch]`` and keep what backward needs.

        Args:
            parameters: ``[lanes, ...]`` each, in the order of ``shapes``.
            x: ``[batch, features]`` for all lanes, or ``[lanes, features, batch]``.
        """

    @abstractmethod
    def backward(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor
    ) -> None:
        """Overwrite ``gradients``, given the gradient ``d`` of the last outputs."""

    @abstractmethod
    def resize(self, n_rows: int) -> None:
        """Make room for ``n_rows`` lanes; those there stay."""

    @abstractmethod
    def fit(self, lane: int, shapes: Shapes) -> None:
        """Note the true shapes of the lane in row ``lane``, for masks."""

    @abstractmethod
    def move(self, source: int, target: int) -> None:
        """Note that the lane of row ``source`` now stands in row ``target``."""
