"""The states of studies, trials and attempts, as CONTRACT names them."""

from enum import StrEnum


class StudyState(StrEnum):
    """Where a study stands."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def has_ended(self) -> bool:
        """Whether nothing of the study runs or will run unless somebody asks."""
        return self in {
            StudyState.STOPPED,
            StudyState.COMPLETED,
            StudyState.CANCELLED,
            StudyState.FAILED,
        }


class StateReason(StrEnum):
    """Why a study left ACTIVE.

    ``PREFLIGHT`` is for a check of the definition that fails. None does today: the preflight warns
    of definitions, and only data can fail it, which is ``DATASET``.
    """

    MAX_TRIALS = "MAX_TRIALS"
    TARGET_REACHED = "TARGET_REACHED"
    TIMEOUT = "TIMEOUT"
    DEVICE_BUDGET = "DEVICE_BUDGET"
    MAX_FAILED_TRIALS = "MAX_FAILED_TRIALS"
    SEARCH_SPACE_EXHAUSTED = "SEARCH_SPACE_EXHAUSTED"
    PREFLIGHT = "PREFLIGHT"
    DATASET = "DATASET"
    USER = "USER"
    INTERNAL = "INTERNAL"


class TrialState(StrEnum):
    """Where a trial stands; exactly Optuna's states."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"

    @property
    def has_finished(self) -> bool:
        """Whether the trial will not change any more."""
        return self in {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}


class AttemptState(StrEnum):
    """Where one try at training a trial stands."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    LOST = "LOST"
    PREEMPTED = "PREEMPTED"
    CANCELLED = "CANCELLED"


class FailureKind(StrEnum):
    """Why a trial failed."""

    DIVERGED = "diverged"
    OOM = "oom"
    TIMEOUT = "timeout"
    USER_ERROR = "user_error"
    WORKER_LOST = "worker_lost"
    CANCELLED = "cancelled"


class Origin(StrEnum):
    """Where a trial's point came from."""

    SAMPLED = "sampled"
    USER = "user"
    WARM_START = "warm_start"
    RETRY = "retry"
