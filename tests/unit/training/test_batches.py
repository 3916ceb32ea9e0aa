"""Batches are gathered several at a time, but never in much memory."""

import torch

from hpsearch.training.batches import Batches
from hpsearch.training.engine import Engine
from hpsearch.training.resident import Resident
from tests.lanes import LOWEST_LOSS, class_splits, trial

BATCH, CLASSES, LANES = 32, 100, 4


def test_where_outputs_are_many_few_batches_are_gathered_at_once() -> None:
    splits = class_splits(n_examples=6000, n_classes=CLASSES)
    lanes = Engine(splits, LOWEST_LOSS, 1).pack(trial(batch_size=BATCH), LANES).lanes
    resident = Resident(splits, device=torch.device("cpu"), dtype=torch.float32)
    batches = Batches(lanes, resident, BATCH, 1)
    together = [len(inputs) for inputs, _ in batches.of(range(batches.n_steps))]
    assert sum(together) == batches.n_steps
    assert 1 < max(together) <= 2**21 // (4 * BATCH * CLASSES * LANES)
