"""What a preflight finds before a study spends its budget."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters.

    ``ok`` is as expected; ``skipped`` could not be told; ``warning`` deserves a change of the
    definition and ends nothing; ``failure`` is data that cannot be trained on.
    """

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: Name of the check, ``initial_loss``.
        severity: How much it matters.
        message: What was seen and, unless all is well, what to change.
        measured: The number that decided; None if there is none, or it is not finite.
        expected: What that number should be, in words.
    """

    check: str
    severity: Severity
    message: str
    measured: float | None = None
    expected: str | None = None

    def __post_init__(self) -> None:
        """Keep what JSON cannot write out of it."""
        if self.measured is not None and not math.isfinite(self.measured):
            object.__setattr__(self, "measured", None)


@dataclass(frozen=True, slots=True)
class PreflightView:
    """All findings of a study, and what they cost.

    Attributes:
        device: Where the checks ran.
        device_seconds: Time they took there; part of the study's budget, of no trial's.
        finished_at: When they were done.
        findings: One or more for each check.
    """

    device: str
    device_seconds: float
    finished_at: datetime
    findings: tuple[Finding, ...]
