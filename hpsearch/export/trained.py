"""A trained network as one file: weights, scaling, and what they mean."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save

from hpsearch.datasets.scaling import Scaling
from hpsearch.errors import InvalidRequest

SCALING = ("input_shift", "input_factor", "target_shift", "target_scale")
FORMAT = "hpsearch-model-1"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The network of a trial's best epoch.

    Attributes:
        weights: By their plain ``torch.nn`` names.
        scaling: What stands between raw values and the network.
        facts: JSON-ready: ``study, trial, task, input_shape, n_outputs, outputs, columns,
            config, values, test``.
    """

    weights: Mapping[str, NDArray[Any]]
    scaling: Scaling
    facts: Mapping[str, Any]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one raw example."""
        return tuple(self.facts["input_shape"])

    @property
    def is_classifier(self) -> bool:
        """Whether it says classes."""
        return bool(self.facts["task"] == "classification")

    def to_safetensors(self) -> bytes:
        """Return the file: weights and scaling as tensors, the facts as metadata."""
        tensors = {**self.weights, **self.scaling.arrays()}
        return save(
            {name: np.ascontiguousarray(array) for name, array in tensors.items()},
            metadata={"format": FORMAT, "facts": json.dumps(dict(self.facts), allow_nan=False)},
        )

    @classmethod
    def from_safetensors(cls, data: bytes) -> "TrainedModel":
        """Return the model in a file.

        Raises:
            InvalidRequest: It is no model of ours.
        """
        try:
            length = int.from_bytes(data[:8], "little")
            metadata = json.loads(data[8 : 8 + length])["__metadata__"]
            facts = json.loads(metadata["facts"])
            tensors = load(data)
            scaling = Scaling(*(tensors.pop(name) for name in SCALING))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise InvalidRequest(f"this is no model file of hpsearch: {error}") from error
        return cls(tensors, scaling, facts)


def read_weights(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the tensors of a stored model; None if the file is not there or damaged."""
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError):
        return None
