"""What a pruner is: a plugin that stops a trial losing against its siblings."""

from abc import abstractmethod
from enum import StrEnum

from optuna.trial import FrozenTrial

from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.registry import Registry
from hpsearch.spec.plugins import StudyPlugin
from hpsearch.spec.views import Pruned

REGISTRY = Registry("hpsearch.pruning")


class Needs(StrEnum):
    """What a pruner must be shown: the less, the cheaper is every report."""

    NOTHING = "nothing"
    CURVE = "curve"
    CURVES = "curves"
    TRIALS = "trials"


class Pruner(StudyPlugin):
    """Settings and behaviour of one pruner.

    It keeps no state: whatever it must remember it writes as system attributes of the trial,
    which are stored with the report.
    """

    @property
    def needs(self) -> Needs:
        """What it must be shown.

        ``TRIALS``: ``study.optuna`` has every trial with its parameters, as Optuna's own pruners
        expect. ``CURVES``: the trial judged, without parameters, and indexes of what the COMPLETE
        ones reported and of all system attributes. ``CURVE``: the same, but nothing that other
        trials reported. ``NOTHING``: it is never asked.
        """
        return Needs.TRIALS

    @property
    def attr_prefix(self) -> str | None:
        """Beginning of the system attributes it writes; None if it writes none."""
        return ""

    @abstractmethod
    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:
        """Return why a trial is stopped at its last epoch, or None if it goes on.

        Args:
            study: All trials with everything they have reported.
            trial: One of them, with its intermediate values up to the epoch judged.
        """

    def written_at(
        self,
        key: str,  # noqa: ARG002 - the interface
        number: int,  # noqa: ARG002
        study: JudgedStudy,  # noqa: ARG002
    ) -> int:
        """Return at which epoch of a trial this pruner writes a system attribute.

        A trial that goes back to an earlier epoch loses the attributes written later, else it
        would be judged by its own future. 0 means that the attribute stays.

        Args:
            key: The attribute.
            number: The trial.
            study: The study; its trials are not needed.
        """
        return 0
