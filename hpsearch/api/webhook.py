"""The bell at a study's end: a POST to the address the administrator named."""

import json
import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from hpsearch.api.wire import plain
from hpsearch.errors import Unavailable
from hpsearch.logs import get_logger
from hpsearch.storage.database import Database
from hpsearch.studies.notices import News, Outcome, tell_one

log = get_logger(__name__)

TIMEOUT_S = 10.0
PERIOD_S = 2.0
JOIN_S = 1.0  # a try may hang for its timeout; it is repeated by whoever comes next
_WORTH_REPEATING = frozenset({408, 425, 429})


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nothing: who names an address does not name where it leads."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Webhook:
    """Tells one address of news. The address may hold a secret: it is never logged.

    Args:
        url: ``http://`` or ``https://``.
        timeout_s: Longest wait for connection and answer.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._host = urlsplit(url).hostname
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirects)

    def tell(self, news: News) -> Outcome:
        """Send one POST; any answer of 200 to 299 is consent, what it says is not read."""
        body = {"event": "study_finished", "delivery": news.delivery, "study": plain(news.study)}
        request = urllib.request.Request(  # noqa: S310 - the settings take http and https only
            self._url,
            data=json.dumps(body, allow_nan=False).encode(),
            headers={
                "Content-Type": "application/json",
                "User-Agent": "hpsearch",
                "X-Hpsearch-Delivery": news.delivery,
            },
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                status = int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            status = error.code
        except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
            # only the kind: messages of libraries may repeat the address
            reason = getattr(error, "reason", error)
            log.warning(
                "webhook_unreachable",
                study=news.study.name,
                host=self._host,
                reason=type(reason).__name__,
            )
            return Outcome.UNREACHABLE
        if 200 <= status < 300:
            log.info("webhook_told", study=news.study.name, host=self._host)
            return Outcome.TOLD
        log.warning("webhook_refused", study=news.study.name, host=self._host, status=status)
        is_passing = status >= 500 or status in _WORTH_REPEATING
        return Outcome.UNREACHABLE if is_passing else Outcome.REFUSED


class WebhookThread:
    """Looks for news beside the janitor, which must not wait for a slow receiver.

    Args:
        database: Whose studies to tell of.
        url: Where to; None: nothing is done.
        period_s: Time between two looks.
    """

    def __init__(self, database: Database, url: str | None, period_s: float = PERIOD_S) -> None:
        self._database = database
        self._webhook = None if url is None else Webhook(url)
        self._period_s = period_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin in a thread of its own, if there is an address."""
        if self._webhook is not None:
            self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        while not self._stopping.wait(self._period_s):
            self.look()

    def look(self) -> None:
        """Tell of everything that is due; whatever fails is logged and comes again."""
        if self._webhook is None:
            return
        try:
            while not self._stopping.is_set() and tell_one(self._database, self._webhook.tell):
                pass
        except Unavailable as error:
            log.warning("webhook_waits", reason=str(error))
        except Exception:
            log.exception("webhook_failed")
