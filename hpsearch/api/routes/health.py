"""``/healthz`` and ``/readyz``: the only addresses that need no token."""

from collections.abc import Callable
from importlib.metadata import version

from fastapi import APIRouter, Request, Response

from hpsearch.api import shapes
from hpsearch.api.errors import ProblemResponse, problem
from hpsearch.api.services import Services, ServicesOf
from hpsearch.api.wire import JsonResponse
from hpsearch.errors import HpsearchError, Unavailable
from hpsearch.logs import get_logger
from hpsearch.storage.schema import is_current

log = get_logger(__name__)

router = APIRouter(tags=["health"])
VERSION = version("hpsearch")


class NotReady(Unavailable):
    """Something this server needs is down."""

    def __init__(self, checks: dict[str, str]) -> None:
        self.checks = checks
        self.down = [name for name, state in checks.items() if state != "ok"]
        super().__init__(f"not ready: {', '.join(f'{name} {checks[name]}' for name in self.down)}")

    def fields(self) -> dict[str, object]:
        """Return what is down, and the state of everything."""
        return {"down": self.down, "checks": self.checks}


@router.get("/healthz", response_model=shapes.Health)
async def healthz() -> Response:
    """Return that the process answers, and its version."""
    return JsonResponse({"status": "ok", "version": VERSION})


@router.get("/readyz", response_model=shapes.Readiness)
def readyz(services: ServicesOf, request: Request) -> Response:
    """Return 200 if the database, its schema and Redis are there, else 503 naming what is not."""
    checks = _checks(services)
    if any(state != "ok" for state in checks.values()):
        answer: ProblemResponse = problem(NotReady(checks), request.scope)
        return answer
    return JsonResponse({"status": "ok", "checks": checks})


def _checks(services: Services) -> dict[str, str]:
    checks = {"database": _state(services.database.ping)}
    if checks["database"] == "ok":
        checks["schema"] = _schema_state(services)
    checks["redis"] = _state(services.doorbell.ping)
    return checks


def _state(ping: Callable[[], None]) -> str:
    try:
        ping()
    except HpsearchError as error:
        log.warning("not_ready", reason=str(error))
        return "down"
    return "ok"


def _schema_state(services: Services) -> str:
    try:
        return "ok" if is_current(services.database) else "outdated"
    except HpsearchError as error:
        log.warning("not_ready", reason=str(error))
        return "unknown"
