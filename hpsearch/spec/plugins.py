"""What the grammar asks of samplers and pruners, which only know their settings until then."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hpsearch.spec.fields import Settings
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Objective


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a plugin cannot serve a study.

    Attributes:
        field: Its field to blame; ``name`` if it is the plugin itself.
        message: The reason, and what to do.
    """

    field: str
    message: str


class StudyPlugin(Settings):
    """A plugin that serves a whole study, and may be unable to."""

    learns: ClassVar[bool] = False
    """Whether its points depend on the results of earlier ones."""

    def refusals(
        self,
        space: SearchSpace,  # noqa: ARG002 - the interface
        objectives: Sequence[Objective],  # noqa: ARG002
    ) -> list[Refusal]:
        """Return why it cannot serve a study on this space; nothing if it can."""
        return []

    def warnings(
        self,
        space: SearchSpace,  # noqa: ARG002 - the interface
        objectives: Sequence[Objective],  # noqa: ARG002
    ) -> list[str]:
        """Return what is allowed but strange."""
        return []
