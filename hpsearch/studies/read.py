"""Look at studies, trials and epochs; each call sees one consistent state."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from hpsearch.errors import FieldError, RequestInvalid, TrialNotFound
from hpsearch.spec.states import Origin, StudyState, TrialState
from hpsearch.spec.views import EpochView, StudyView, TrialSummary, TrialView
from hpsearch.storage import epochs, listing, studies, trials
from hpsearch.storage.database import Database, Transaction
from hpsearch.storage.listing import TrialStamp
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialRecord
from hpsearch.studies.best import best_numbers
from hpsearch.studies.finished import Finished
from hpsearch.studies.paging import INT32, INT63, check_limit, decode_token, encode_token
from hpsearch.studies.ranking import ranked
from hpsearch.studies.views import study_view, summaries, trial_view

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")
MAX_EPOCHS_READ = 20_000  # for one page of curves: a third of a second
ORDERS = ("number", "-number", "value", "-value")
_SUMMARIES: Finished[TrialSummary] = Finished(lambda summary: summary, most=0)


def get_study(database: Database, name: str) -> StudyView:
    """Return a study.

    Raises:
        StudyNotFound: There is none of this name.
    """
    with database.read() as tx:
        return study_view(tx, studies.get_study(tx, name))


def list_studies(
    database: Database,
    *,
    state: str | None = None,
    tag: str | None = None,
    limit: int = 100,
    page_token: str | None = None,
) -> tuple[list[StudyView], str | None]:
    """Return a page of studies, newest first, and the token of the next page or None.

    Raises:
        RequestInvalid: The state, the limit or the token makes no sense.
    """
    wanted = None if state is None else [_member(StudyState, "state", state)]
    check_limit(limit)
    after = None
    if page_token is not None:
        micros, study_id = decode_token(page_token, INT63, INT32)
        after = (_from_micros(micros, page_token), study_id)
    with database.read() as tx:
        page: list[StudyRecord] = []
        while len(page) <= limit:
            batch = studies.list_studies(tx, states=wanted, after=after, limit=limit + 1)
            page += [study for study in batch if tag is None or tag in study.definition["tags"]]
            if len(batch) <= limit:
                break
            after = (batch[-1].created_at, batch[-1].study_id)
        token = None
        if len(page) > limit:
            last = page[limit - 1]
            token = encode_token(_micros(last.created_at), last.study_id)
        return [study_view(tx, study) for study in page[:limit]], token


def list_trials(
    database: Database,
    name: str,
    *,
    state: str | None = None,
    origin: str | None = None,
    order_by: str = "number",
    limit: int = 100,
    page_token: str | None = None,
) -> tuple[list[TrialSummary], str | None]:
    """Return a page of trials and the token of the next page or None.

    Ordered by ``value``, the best come first (``-value``: the worst), and trials without a
    value last.

    Raises:
        StudyNotFound: There is no such study.
        RequestInvalid: A filter, the order, the limit or the token makes no sense.
    """
    return list_trials_as(
        _SUMMARIES,
        database,
        name,
        state=state,
        origin=origin,
        order_by=order_by,
        limit=limit,
        page_token=page_token,
    )


def list_trials_as(
    finished: Finished[T],
    database: Database,
    name: str,
    *,
    state: str | None = None,
    origin: str | None = None,
    order_by: str = "number",
    limit: int = 100,
    page_token: str | None = None,
) -> tuple[list[T], str | None]:
    """Do as :func:`list_trials`; what is made of finished trials is made once."""
    wanted_state = None if state is None else _member(TrialState, "state", state)
    wanted_origin = None if origin is None else _member(Origin, "origin", origin)
    if order_by not in ORDERS:
        raise _query_error("order_by", f"expected one of {', '.join(ORDERS)}", order_by)
    check_limit(limit)
    after = None if page_token is None else decode_token(page_token, INT32)[0]
    with database.read() as tx:
        study = studies.get_study(tx, name)
        if order_by.endswith("number"):
            page = listing.stamps_by_number(
                tx,
                study.study_id,
                state=wanted_state,
                origin=wanted_origin,
                is_descending=order_by.startswith("-"),
                after=after,
                limit=limit + 1,
            )
        else:
            page = _page_by_value(
                tx, study, wanted_state, wanted_origin, order_by, after, limit + 1
            )
        token = encode_token(page[limit - 1].number) if len(page) > limit else None
        return finished.of(tx, study, page[:limit]), token


def get_trial(database: Database, name: str, number: int) -> TrialView:
    """Return a trial with its config and attempts.

    Raises:
        StudyNotFound: There is no such study.
        TrialNotFound: It has no trial of this number.
    """
    with database.read() as tx:
        study = studies.get_study(tx, name)
        return trial_view(tx, study, _trial(tx, study, number))


def trial_epochs(
    database: Database,
    name: str,
    number: int,
    *,
    limit: int = 1000,
    page_token: str | None = None,
) -> tuple[list[EpochView], str | None]:
    """Return a page of one trial's epochs in order, and the token of the next page or None.

    Raises:
        StudyNotFound: There is no such study.
        TrialNotFound: It has no trial of this number.
        RequestInvalid: The limit or the token makes no sense.
    """
    check_limit(limit)
    epoch = 0 if page_token is None else decode_token(page_token, INT32)[0]
    with database.read() as tx:
        study = studies.get_study(tx, name)
        _trial(tx, study, number)
        page = epochs.read_epochs(
            tx, study.study_id, numbers=[number], after=(number, epoch), limit=limit + 1
        )
    token = encode_token(page[limit - 1].epoch) if len(page) > limit else None
    return page[:limit], token


def study_epochs(
    database: Database,
    name: str,
    *,
    metric: str | None = None,
    numbers: Sequence[int] | None = None,
    points: int | None = None,
) -> list[EpochView]:
    """Return the curves of many trials, ordered by trial and epoch.

    Args:
        database: Where the study lives.
        name: The study.
        metric: Only this metric; None for all.
        numbers: Only these trials; None for all.
        points: Most epochs per trial, spread evenly, first and last included.

    Raises:
        StudyNotFound: There is no such study.
    """
    if numbers is not None:
        numbers = [number for number in numbers if 0 <= number <= trials.MAX_TRIAL_NUMBER]
    with database.read() as tx:
        study = studies.get_study(tx, name)
        found = epochs.read_epochs(tx, study.study_id, numbers=numbers)
    found = _of_metric(found, metric)
    return found if points is None else _thin(found, points)


def study_epochs_page(
    database: Database,
    name: str,
    *,
    metric: str | None = None,
    numbers: Sequence[int] | None = None,
    points: int = 100,
    limit: int = 100,
    page_token: str | None = None,
) -> tuple[list[EpochView], str | None]:
    """Return the curves of a page of trials, and the token of the next page or None.

    Args:
        database: Where the study lives.
        name: The study.
        metric: Only this metric; None for all.
        numbers: Only these trials; None for all.
        points: Most epochs per trial, spread evenly, first and last included.
        limit: Most trials; fewer where they have many epochs, but always one.
        page_token: Where the page begins.

    Raises:
        StudyNotFound: There is no such study.
        RequestInvalid: The limit or the token makes no sense.
    """
    check_limit(limit)
    after = None if page_token is None else decode_token(page_token, INT32)[0]
    with database.read() as tx:
        study = studies.get_study(tx, name)
        lengths = listing.curve_lengths(
            tx, study.study_id, numbers=numbers, after=after, limit=limit + 1
        )
        page: list[int] = []
        n_read = 0
        for number, n_epochs in lengths[:limit]:
            if page and n_read + n_epochs > MAX_EPOCHS_READ:
                break
            page.append(number)
            n_read += n_epochs
        token = encode_token(page[-1]) if len(page) < len(lengths) else None
        found = epochs.read_epochs(tx, study.study_id, numbers=page) if page else []
    return _thin(_of_metric(found, metric), points), token


def best_trials(database: Database, name: str) -> list[TrialSummary]:
    """Return the best trial, or the Pareto front of a study with several objectives.

    Raises:
        StudyNotFound: There is no such study.
    """
    with database.read() as tx:
        study = studies.get_study(tx, name)
        best = trials.by_numbers(tx, study.study_id, best_numbers(tx, study))
        return summaries(tx, study, best)


def _trial(tx: Transaction, study: StudyRecord, number: int) -> TrialRecord:
    found = trials.find_trial(tx, study.study_id, number)
    if found is None:
        raise TrialNotFound(study.name, number)
    return found


def _page_by_value(
    tx: Transaction,
    study: StudyRecord,
    state: TrialState | None,
    origin: Origin | None,
    order_by: str,
    after: int | None,
    limit: int,
) -> list[TrialStamp]:
    order = ranked(tx, study)
    if order_by.startswith("-"):
        order.reverse()
    if (
        origin is None
        and state in {None, TrialState.COMPLETE}
        and (after is None or after in order)
    ):
        page = _after(order, after, limit)
        if len(page) == limit:  # the others come later: most pages need not know them
            return listing.stamps_of(tx, study.study_id, page)
    page = _after(_with_others(tx, study, state, origin, order), after, limit)
    return listing.stamps_of(tx, study.study_id, page)


def _with_others(
    tx: Transaction,
    study: StudyRecord,
    state: TrialState | None,
    origin: Origin | None,
    order: list[int],
) -> list[int]:
    """Return the trials that match, those without a value last."""
    matching = trials.numbers(tx, study.study_id, state=state, origin=origin)
    with_value, is_wanted = set(order), set(matching)
    found = [number for number in order if number in is_wanted]
    return found + [number for number in matching if number not in with_value]


def _after(order: list[int], after: int | None, limit: int) -> list[int]:
    start = order.index(after) + 1 if after in order else 0
    return order[start : start + limit]


def _of_metric(found: list[EpochView], metric: str | None) -> list[EpochView]:
    if metric is None:
        return found
    return [
        EpochView(view.number, view.epoch, {metric: view.metrics[metric]})
        for view in found
        if metric in view.metrics
    ]


def _thin(found: Sequence[EpochView], points: int) -> list[EpochView]:
    by_trial: dict[int, list[EpochView]] = defaultdict(list)
    for view in found:
        by_trial[view.number].append(view)
    thinned = []
    for curve in by_trial.values():
        n_kept = min(len(curve), max(2, points))
        last, steps = len(curve) - 1, max(1, n_kept - 1)
        thinned += [curve[i * last // steps] for i in range(n_kept)]
    return thinned


def _member(kind: type[E], field: str, value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        expected = f"expected one of {', '.join(kind)}"
        raise _query_error(field, expected, value) from None


def _query_error(field: str, message: str, value: object) -> RequestInvalid:
    return RequestInvalid([FieldError(("query", field), message, value)])


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def _from_micros(micros: int, token: str) -> datetime:
    try:
        return datetime.fromtimestamp(micros / 1_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        raise _query_error("page_token", "expected a token of this list", token) from None
