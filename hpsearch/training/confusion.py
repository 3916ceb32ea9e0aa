"""Which classes are taken for which: counted on the device, summed up in two numbers."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Confusion:
    """Counts the examples of one lane by true and by predicted class.

    Args:
        n_classes: Classes there are.
        device: Where the outputs are.
    """

    def __init__(self, n_classes: int, device: torch.device) -> None:
        self._n_classes = n_classes
        self._counts = torch.zeros(n_classes**2, dtype=torch.int64, device=device)

    def __call__(self, z: Tensor, y: Tensor) -> None:
        """Count a batch: outputs ``[1, classes, batch]`` and true classes ``[batch]``."""
        cells = y * self._n_classes + z[0].argmax(0)
        self._counts += torch.bincount(cells, minlength=self._n_classes**2)

    def counts(self) -> NDArray[np.int64]:
        """Return the counts, true classes down, predicted ones across."""
        counts: NDArray[np.int64] = self._counts.cpu().numpy()
        return counts.reshape(self._n_classes, self._n_classes)


def class_metrics(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return ``macro_f1`` and ``balanced_accuracy``, as scikit-learn defines them.

    Macro F1 is the mean over the classes that are true or predicted anywhere; balanced accuracy
    is the mean recall of those that are true anywhere.
    """
    hits, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    seen = true + predicted > 0
    f1 = 2 * hits[seen] / (true + predicted)[seen]
    recall = hits[true > 0] / true[true > 0]
    return {"macro_f1": float(f1.mean()), "balanced_accuracy": float(recall.mean())}
