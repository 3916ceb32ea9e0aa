"""Every error the product raises on purpose, sorted by who must act.

    HpsearchError
    ├── InvalidRequest          the caller changes the request
    │   ├── InvalidDefinition   (every wrong field at once)
    │   ├── RequestInvalid      (query, path or body of another call)
    │   ├── MalformedBody       (not JSON, not YAML)
    │   ├── BodyTooLarge
    │   ├── UnsupportedMediaType
    │   └── InvalidSettings     (the environment of a process)
    ├── AccessDenied            the caller brings another token
    │   ├── Unauthorized
    │   └── Forbidden
    ├── NotFound                the caller names something else
    │   ├── StudyNotFound
    │   ├── TrialNotFound
    │   ├── DatasetNotFound
    │   └── ModelNotFound
    ├── Conflict                the caller reads again
    │   ├── NameTaken
    │   ├── DatasetTaken
    │   ├── WrongState
    │   ├── KeyReused
    │   └── InUse
    ├── Unavailable             the caller waits and retries
    │   ├── ServiceDown
    │   ├── StorageFull
    │   ├── NotInstalled
    │   └── DatasetUnavailable
    ├── TrialFailed             recorded; the search goes on
    └── BrokenInvariant         our bug
        └── ShapeError

A class knows its stable ``code`` (the slug of ``/problems/<code>``) and its fields, never an
HTTP status. ``api/errors.py`` maps branches to statuses, ``client/http.py`` maps codes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: where it stands, what was expected, what came.

    Attributes:
        loc: Keys and indexes as the user wrote them, outermost first.
        msg: What was expected and what to do, in one sentence.
        input: The offending value, as it came.
        line: Line in the YAML text, from 1; None for JSON and for missing fields.
    """

    loc: tuple[str | int, ...]
    msg: str
    input: Any = None
    line: int | None = None

    def __str__(self) -> str:
        """Return ``model.hidden_units[1]: message``."""
        path = ""
        for part in self.loc:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
        where = f" (line {self.line})" if self.line is not None else ""
        return f"{path or 'definition'}{where}: {self.msg}"


class HpsearchError(Exception):
    """Something the product refuses or cannot do."""

    code: ClassVar[str] = "internal"

    def fields(self) -> dict[str, Any]:
        """Return the typed fields a caller may act on, JSON-ready."""
        return {}


class InvalidRequest(HpsearchError):
    """The request cannot be understood as it stands."""

    code = "request-invalid"


class _FieldErrors(InvalidRequest):
    """A request with wrong fields; all of them are listed."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(str(error) for error in self.errors))


class InvalidDefinition(_FieldErrors):
    """The study definition is invalid."""

    code = "definition-invalid"


class RequestInvalid(_FieldErrors):
    """A parameter or the body of the request is invalid."""

    code = "request-invalid"


class MalformedBody(InvalidRequest):
    """The body is not the JSON or YAML it claims to be."""

    code = "malformed"


class BodyTooLarge(InvalidRequest):
    """The body is larger than this server accepts."""

    code = "too-large"

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"the body must be at most {limit_bytes:,} bytes")

    def fields(self) -> dict[str, Any]:
        """Return the limit in bytes."""
        return {"limit_bytes": self.limit_bytes}


class UnsupportedMediaType(InvalidRequest):
    """The content type is not accepted here."""

    code = "media-type"


class InvalidSettings(InvalidRequest):
    """A variable of the environment has no valid value."""

    code = "settings-invalid"


class AccessDenied(HpsearchError):
    """The token does not allow this."""

    code = "forbidden"


class Unauthorized(AccessDenied):
    """No valid token came with the request."""

    code = "unauthorized"


class Forbidden(AccessDenied):
    """The token's scope does not allow this."""

    code = "forbidden"


class NotFound(HpsearchError):
    """There is no such thing here."""

    code = "not-found"


class StudyNotFound(NotFound):
    """There is no study of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no study named {name!r}")

    def fields(self) -> dict[str, Any]:
        """Return the name looked for."""
        return {"study": self.name}


class TrialNotFound(NotFound):
    """There is no trial of this number in the study."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        super().__init__(f"study {name!r} has no trial {number}")

    def fields(self) -> dict[str, Any]:
        """Return the study and the number looked for."""
        return {"study": self.name, "number": self.number}


class DatasetNotFound(NotFound):
    """There is no data set of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no data set named {name!r}")

    def fields(self) -> dict[str, Any]:
        """Return the name looked for."""
        return {"dataset": self.name}


class ModelNotFound(NotFound):
    """The trial has no stored model."""


class Conflict(HpsearchError):
    """The request does not fit the present state."""

    code = "wrong-state"


class NameTaken(Conflict):
    """Another study has this name."""

    code = "name-taken"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"a study named {name!r} exists; choose another name or delete it first")

    def fields(self) -> dict[str, Any]:
        """Return the taken name."""
        return {"study": self.name}


class DatasetTaken(Conflict):
    """Another data set has this name."""

    code = "name-taken"

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        super().__init__(f"a data set named {name!r} exists {why}; choose another name")

    def fields(self) -> dict[str, Any]:
        """Return the taken name."""
        return {"dataset": self.name}


class WrongState(Conflict):
    """The verb does not apply in the study's present state."""

    code = "wrong-state"

    def __init__(self, verb: str, name: str, state: str, why: str | None = None) -> None:
        self.verb, self.name, self.state = verb, name, state
        super().__init__(f"cannot {verb} study {name!r}: {why or f'it is {state}'}")

    def fields(self) -> dict[str, Any]:
        """Return the study, its state and the refused verb."""
        return {"study": self.name, "state": self.state, "verb": self.verb}


class KeyReused(Conflict):
    """The idempotency key was used with another body."""

    code = "key-reused"


class InUse(Conflict):
    """Something still refers to it."""

    code = "in-use"


class Unavailable(HpsearchError):
    """Something this call needs is down or absent for now."""

    code = "unavailable"


class ServiceDown(Unavailable):
    """A service of the cluster does not answer."""

    def __init__(self, service: str, detail: str) -> None:
        self.service = service
        super().__init__(f"{service} is down: {detail}")

    def fields(self) -> dict[str, Any]:
        """Return the name of the service."""
        return {"service": self.service}


class StorageFull(Unavailable):
    """The server cannot write to its disk."""


class NotInstalled(Unavailable):
    """This needs an optional library that is not installed."""


class DatasetUnavailable(Unavailable):
    """A data set is neither on this machine nor can it be downloaded."""


class TrialFailed(HpsearchError):
    """A trial ended without a result; the study goes on."""

    code = "trial-failed"

    def __init__(self, kind: str, message: str) -> None:
        self.kind, self.message = kind, message
        super().__init__(f"{kind}: {message}")


class BrokenInvariant(HpsearchError):
    """Our own mistake: please report it."""

    code = "internal"


class ShapeError(BrokenInvariant):
    """Tensors do not have the shapes a layer was built for."""
