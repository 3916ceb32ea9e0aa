"""The loops people write today, to compare with: a tutorial's, and the best plain one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from hpsearch.datasets.base import REGISTRY as DATASETS
from hpsearch.datasets.splits import Splits, split
from hpsearch.models.base import Model
from hpsearch.optimizers.adagrad import Adagrad
from hpsearch.optimizers.adam import Adam
from hpsearch.optimizers.adamax import Adamax
from hpsearch.optimizers.adamw import AdamW
from hpsearch.optimizers.base import Optimizer
from hpsearch.optimizers.rmsprop import RmsProp
from hpsearch.optimizers.sgd import Sgd
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.sections import DatasetSection, Direction, Training
from hpsearch.training.engine import Engine, Precision, matmul_precision
from hpsearch.training.lanes import Goal


def images(folder: str, name: str = "mnist", train_fraction: float = 1.0) -> Splits:
    """Return the splits of a data set found in ``folder``."""
    dataset = DATASETS[name]()
    section = DatasetSection(name=name, train_fraction=train_fraction)
    return split(dataset.load(Path(folder)), section, dataset.info().task)


class OneByOne(Dataset[tuple[torch.Tensor, int]]):
    """Examples as a tutorial's ``Dataset`` gives them out: one at a time, transformed each."""

    def __init__(self, splits: Splits) -> None:
        self._x, self._y = splits.train.x, splits.train.y
        self._shift, self._factor = splits.shift, splits.factor

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self._x[index]).to(torch.float32).div(255)  # ToTensor
        return image.sub(self._shift / 255).mul(self._factor * 255), int(self._y[index])


RULES: dict[str, Optimizer] = {
    "sgd": Sgd(learning_rate=0.05, momentum=0.9, l2=1e-4),
    "adam": Adam(learning_rate=1e-3),
    "adamw": AdamW(learning_rate=1e-3),
    "adamax": Adamax(learning_rate=1e-3),
    "adagrad": Adagrad(learning_rate=1e-2),
    "rmsprop": RmsProp(learning_rate=1e-3),
    "rmsprop-momentum": RmsProp(learning_rate=1e-4, momentum=0.9),
}


def torch_rule(rule: str, network: nn.Module, *, is_fused: bool) -> torch.optim.Optimizer:
    """Return torch's own optimizer for one of ``RULES``, by its fused kernel where it has one."""
    weights = list(network.parameters())
    match rule:
        case "sgd":
            return torch.optim.SGD(weights, 0.05, 0.9, weight_decay=1e-4, fused=is_fused)
        case "adam":
            return torch.optim.Adam(weights, 1e-3, fused=is_fused)
        case "adamw":
            return torch.optim.AdamW(weights, 1e-3, fused=is_fused)
        case "adamax":
            return torch.optim.Adamax(weights, 1e-3)
        case "adagrad":
            return torch.optim.Adagrad(weights, 1e-2, fused=is_fused)
        case "rmsprop":
            return torch.optim.RMSprop(weights, 1e-3)
        case "rmsprop-momentum":
            return torch.optim.RMSprop(weights, 1e-4, momentum=0.9)
    raise ValueError(rule)


def tutorial_loop(
    network: nn.Module, splits: Splits, batch: int, rule: str
) -> Callable[[int], int]:
    """Return the loop of tutorials: DataLoader, a transform per sample, ``.item()`` a batch."""
    optimizer = torch_rule(rule, network, is_fused=False)
    loss_of = nn.CrossEntropyLoss()

    def run(n_steps: int) -> int:
        loader = DataLoader(OneByOne(splits), batch_size=batch, shuffle=True)
        running, seen = 0.0, 0
        for step, (x, y) in enumerate(loader):
            if step == n_steps:
                break
            optimizer.zero_grad()
            loss = loss_of(network(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(x)
            seen += len(x)
        return seen

    return run


def resident_loop(
    network: nn.Module, splits: Splits, batch: int, rule: str, device: str = "cpu"
) -> Callable[[int], int]:
    """Return the best plain loop: data resident, one gather a batch, fused rule, no ``.item()``.

    It adds up loss and hits as the engine does, without looking at them.
    """
    network.to(device)
    x_all = torch.from_numpy(splits.train.x).to(device, torch.float32)
    x_all = x_all.sub_(splits.shift).mul_(splits.factor)
    y_all = torch.from_numpy(splits.train.y).to(device)
    optimizer = torch_rule(rule, network, is_fused=True)
    rng = np.random.default_rng(0)

    def run(n_steps: int) -> int:
        order = torch.from_numpy(rng.permutation(len(x_all))).to(device)
        loss_sum, hits = torch.zeros((), device=device), torch.zeros((), device=device)
        seen = 0
        for step in range(n_steps):
            index = order[step * batch : (step + 1) * batch]
            x, y = x_all.index_select(0, index), y_all.index_select(0, index)
            optimizer.zero_grad(set_to_none=True)
            z = network(x)
            loss = nn.functional.cross_entropy(z, y)
            loss.backward()  # type: ignore[no-untyped-call] # torch's
            optimizer.step()
            with torch.no_grad():
                loss_sum += loss.detach() * len(x)
                hits += (z.argmax(1) == y).sum()
            seen += len(x)
        if x_all.is_cuda:
            torch.cuda.synchronize()
        return seen

    return run


def pack_loop(
    model: Model,
    splits: Splits,
    batch: int,
    rule: str,
    *,
    lanes: int,
    precision: Precision,
    device: str = "cpu",
) -> Callable[[int], int]:
    """Return a loop that trains a pack of this many lanes: examples times lanes are counted.

    It goes on where it stopped, as the plain loops do: through one epoch into the next.
    """
    goal = Goal("val_loss", Direction.MINIMIZE)
    engine = Engine(splits, goal, 0, device=device, precision=precision, lanes=lanes)
    config = TrialConfig(model, RULES[rule], Training(epochs=1, batch_size=batch))
    pack = engine.pack(config, lanes)
    n_whole = len(splits.train.x) // batch
    at, epoch = n_whole, pack.begin(pack.lanes)

    def run(n_steps: int) -> int:
        nonlocal at, epoch
        with matmul_precision(precision, pack.device):
            left = n_steps
            while left:
                if at == n_whole:
                    at, epoch = 0, pack.begin(pack.lanes)
                chunk = range(at, min(at + left, n_whole))
                epoch.take(chunk)
                at, left = chunk.stop, left - len(chunk)
            if pack.device.type == "cuda":
                torch.cuda.synchronize(pack.device)
        return lanes * n_steps * batch

    return run
