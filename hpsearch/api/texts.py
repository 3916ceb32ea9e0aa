"""Studies and trials as JSON text, made once for all who ask."""

import json
from threading import Lock

from hpsearch.api.wire import json_text, plain
from hpsearch.spec.views import StudyView
from hpsearch.studies.finished import Finished

MAX_TRIALS = 20_000  # half a kilobyte each
MAX_STUDIES = 64


class Texts:
    """What this process has written already.

    Attributes:
        trials: Of trials as lists show them.
    """

    def __init__(self) -> None:
        self.trials: Finished[str] = Finished(lambda trial: json_text(plain(trial)), MAX_TRIALS)
        self._studies: dict[str, tuple[StudyView, str]] = {}
        self._lock = Lock()

    def study(self, view: StudyView) -> str:
        """Return the text of a study; the same view is written once."""
        known, text = self._studies.get(view.name, (None, ""))
        if known is view:
            return text
        text = json_text(plain(view))
        with self._lock:
            self._studies.pop(view.name, None)
            self._studies[view.name] = view, text
            while len(self._studies) > MAX_STUDIES:
                del self._studies[next(iter(self._studies))]
        return text


def page(key: str, texts: list[str], next_page_token: str | None) -> str:
    """Return the text of one page of a list."""
    return f'{{"{key}":[{",".join(texts)}],"next_page_token":{json.dumps(next_page_token)}}}'
