"""What a person reads when something is refused, and what the shell gets told."""

from typing import TYPE_CHECKING

from hpsearch.errors import (
    BrokenInvariant,
    FieldError,
    HpsearchError,
    InvalidDefinition,
    NameTaken,
    RequestInvalid,
    TrialFailed,
    Unavailable,
)

if TYPE_CHECKING:
    from hpsearch.spec.views import StudyView

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130
MAX_INPUT_CHARS = 60


def exit_code(error: HpsearchError) -> int:
    """Return the exit status for an error: who must act decides."""
    if isinstance(error, Unavailable):
        return EXIT_UNREACHABLE
    return EXIT_FAILED if isinstance(error, BrokenInvariant | TrialFailed) else EXIT_USAGE


def study_exit_code(study: "StudyView") -> int:
    """Return 1 for a study that FAILED or was CANCELLED, else 0."""
    return EXIT_FAILED if study.state in {"FAILED", "CANCELLED"} else EXIT_OK


def explain(error: HpsearchError) -> str:
    """Return the error as lines of text, one for each wrong field."""
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, InvalidDefinition | RequestInvalid) and error.errors:
        n = len(error.errors)
        what = "definition" if isinstance(error, InvalidDefinition) else "request"
        head = f"invalid {what}{notes}: {n} error{'s' if n > 1 else ''}"
        return "\n".join([head, *(f"  {_field(e)}" for e in _by_line(error.errors))])
    if isinstance(error, NameTaken):
        return (
            f"a study named {error.name!r} exists with another definition: "
            "name this one differently, or let --new do it"
        )
    if isinstance(error, BrokenInvariant):
        return f"{error}{notes}\nThis is a mistake of hpsearch, please report it."
    return f"{error}{notes}"


def _by_line(errors: tuple[FieldError, ...]) -> list[FieldError]:
    return sorted(errors, key=lambda e: (e.line is None, e.line or 0))


def _field(error: FieldError) -> str:
    """Return the error, with what came if its message does not tell already."""
    is_told = "got " in error.msg or error.msg.startswith("unknown")
    is_told = is_told or (isinstance(error.input, str) and error.input in error.msg)
    if is_told or error.input is None or isinstance(error.input, dict | list):
        return str(error)
    shown = repr(error.input)
    if len(shown) > MAX_INPUT_CHARS:
        shown = shown[: MAX_INPUT_CHARS - 1] + "…"
    return f"{error}, got {shown}"
