"""What a stream of events tells, in the order of CONTRACT §4."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """What happened."""

    STUDY = "study"
    TRIAL_STARTED = "trial_started"
    EPOCH = "epoch"
    TRIAL_REWOUND = "trial_rewound"
    TRIAL_FINISHED = "trial_finished"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a study.

    Attributes:
        kind: What.
        study: The study's name.
        id: Whoever has read this far asks for what came after it; it never shrinks.
        data: The rest, by name.
    """

    kind: EventKind
    study: str
    id: int
    data: Mapping[str, Any]
