"""Claims made in a thread: sampling and reading checkpoints never stall a running pack."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from uuid import uuid4

from hpsearch.errors import ServiceDown
from hpsearch.logs import get_logger
from hpsearch.session.outage import Outage
from hpsearch.spec.states import StateReason
from hpsearch.storage.database import Database
from hpsearch.storage.history import History
from hpsearch.storage.studies import StudyRecord
from hpsearch.studies.claim import Claimant, ClaimedTrial, claim
from hpsearch.studies.fail import fail_study
from hpsearch.training.lanes import LaneState

log = get_logger(__name__)

CLAIM_AGAIN_S = 1.0  # after a claim that found nothing

Admission = tuple[ClaimedTrial, LaneState | None]


class Claims:
    """At most one claim at a time, repeated under its own id until it is answered.

    Args:
        database: Where the study lives.
        study: What is claimed from.
        claimant: Who claims.
        load: Returns where an earlier attempt of a trial stood.
    """

    def __init__(
        self,
        database: Database,
        study: StudyRecord,
        claimant: Claimant,
        load: Callable[[ClaimedTrial], LaneState | None],
    ) -> None:
        self._database, self._study = database, study
        self._claimant, self._load = claimant, load
        self._history = History(study.study_id)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sampler")
        self._pending: Future[list[Admission]] | None = None
        self._claim_id: str | None = None
        self._again_at = -math.inf
        self._outage = Outage("claim")

    @property
    def claim_id(self) -> str | None:
        """The claim whose trials may be leased but are not with the caller yet."""
        return self._claim_id

    @property
    def rest_s(self) -> float:
        """How long no claim is made because the database is away, s; 0 when one may be."""
        return self._outage.rest_s

    def ask(self, n: int, *, is_idle: bool) -> None:
        """Begin to claim up to ``n`` trials.

        Nothing happens while a claim is under way or the database is away, nor, unless the
        caller is idle, shortly after a claim that found nothing.
        """
        has_rest = time.monotonic() < self._again_at and not is_idle
        if self._pending is not None or n <= 0 or self.rest_s > 0 or has_rest:
            return
        self._claim_id = self._claim_id or str(uuid4())
        self._pending = self._thread.submit(self._claim, n, self._claim_id)

    def collect(self, timeout_s: float | None) -> list[Admission]:
        """Return what was claimed; nothing if there is no claim or it takes longer."""
        if self._pending is None:
            return []
        try:
            claimed = self._pending.result(timeout_s)
        except NotYet:
            return []
        except ServiceDown as error:
            # it may have come through: the same id asks for the same trials
            self._outage.failed(error)
            claimed = []
        except Exception as error:
            log.exception("sampling_failed", study=self._study.name)
            message = f"the sampler failed: {type(error).__name__}: {error}"
            fail_study(self._database, self._study.uuid, StateReason.INTERNAL, message)
            claimed, self._claim_id = [], None
        else:
            self._outage.answered()
            self._claim_id = None
        self._pending = None
        if not claimed:
            self._again_at = time.monotonic() + CLAIM_AGAIN_S
        return claimed

    def close(self) -> None:
        """Leave no thread behind."""
        self._thread.shutdown(wait=True)

    def _claim(self, n: int, claim_id: str) -> list[Admission]:
        claimed = claim(
            self._database, self._study.uuid, n, claim_id, self._claimant, self._history
        )
        return [(trial, self._load(trial)) for trial in claimed]
