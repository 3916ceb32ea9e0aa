"""``/metrics``: what the service holds and does, for Prometheus."""

from fastapi import APIRouter, Response

from hpsearch.api.exposition import CONTENT_TYPE, Labels, family
from hpsearch.api.services import Services, ServicesOf
from hpsearch.errors import HpsearchError
from hpsearch.logs import get_logger
from hpsearch.studies.census import census

log = get_logger(__name__)

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
def get_metrics(services: ServicesOf) -> Response:
    """Return numbers in Prometheus' text form; a scraper sends its token as everybody does.

    Those of requests are this process's own; all others are the whole service's.
    """
    found = census(services.database)
    lines = [
        *family(
            "hpsearch_studies",
            "gauge",
            "Studies by state.",
            [({"state": str(state)}, float(n)) for state, n in found.studies.items()],
        ),
        *family(
            "hpsearch_trials",
            "gauge",
            "Trials by state.",
            [({"state": str(state)}, float(n)) for state, n in found.trials.items()],
        ),
        *family(
            "hpsearch_device_seconds",
            "gauge",
            "Device-seconds of all studies that are there.",
            [({}, found.device_seconds)],
        ),
        *family(
            "hpsearch_workers",
            "gauge",
            "Workers heard of in the last half minute.",
            [
                ({"device": device, "state": "busy" if is_busy else "idle"}, float(n))
                for (device, is_busy), n in sorted(found.workers.items())
            ],
        ),
        *_queue(services),
        *services.requests.lines(),
    ]
    return Response("\n".join(lines) + "\n", media_type=CONTENT_TYPE)


def _queue(services: Services) -> list[str]:
    """Return the length of the queue, or that Redis does not answer."""
    waiting: list[tuple[Labels, float]] = []
    try:
        waiting = [({}, float(services.doorbell.waiting()))]
    except HpsearchError as error:
        log.warning("metrics_without_queue", reason=str(error))
    is_up = float(bool(waiting))
    return [
        *family("hpsearch_redis_up", "gauge", "Whether Redis answers.", [({}, is_up)]),
        *family("hpsearch_queue_turns", "gauge", "Turns nobody has taken yet.", waiting),
    ]
