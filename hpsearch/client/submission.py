"""Handing a study in under the rules of names: attach to the same one, refuse another."""

from dataclasses import dataclass
from typing import Protocol

from hpsearch.client.definitions import Draft
from hpsearch.errors import InvalidDefinition, InvalidRequest, NameTaken
from hpsearch.spec.states import StudyState
from hpsearch.spec.views import StudyView

MAX_NAME_CHARS = 63


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a definition that was handed in.

    Attributes:
        study: The study as it stands now.
        is_new: Whether this call created it; else it existed with the same definition.
        was_resumed: Whether it existed paused and goes on now.
    """

    study: StudyView
    is_new: bool
    was_resumed: bool = False


class Service(Protocol):
    """The calls a submission needs."""

    def create(self, draft: Draft) -> StudyView:
        """Create a study."""

    def normalise(self, draft: Draft) -> dict[str, object]:
        """Return the definition with all defaults filled in."""

    def study(self, name: str) -> StudyView:
        """Return a study."""

    def resume(self, name: str) -> StudyView:
        """Let a paused study go on."""


def hand_in(service: Service, draft: Draft, *, new: bool) -> Submission:
    """Create the study, or attach to the one that has its name and its definition.

    Args:
        service: The server.
        draft: The definition.
        new: Never attach; if the name is taken, append ``-2``, ``-3`` and so on.

    Raises:
        InvalidDefinition: Of all wrong fields, with their lines.
        NameTaken: The name belongs to a study with another definition.
    """
    try:
        return _create_new(service, draft) if new else _create_or_attach(service, draft)
    except InvalidDefinition as error:
        raise draft.located(error) from None


def _create_or_attach(service: Service, draft: Draft) -> Submission:
    try:
        return Submission(service.create(draft), is_new=True)
    except NameTaken as taken:
        study = service.study(taken.name)
        if service.normalise(draft) != study.definition:
            raise
    if study.state is StudyState.PAUSED:
        return Submission(service.resume(study.name), is_new=False, was_resumed=True)
    return Submission(study, is_new=False)


def _create_new(service: Service, draft: Draft) -> Submission:
    number = 1
    attempt = draft
    while True:
        try:
            return Submission(service.create(attempt), is_new=True)
        except NameTaken as taken:
            if draft.name is None:
                raise
            number += 1
            suffix = f"-{number}"
            if number > 10_000:
                raise InvalidRequest(f"all names from {draft.name} on are taken") from taken
            attempt = draft.renamed(draft.name[: MAX_NAME_CHARS - len(suffix)] + suffix)
