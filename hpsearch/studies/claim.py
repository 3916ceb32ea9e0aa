"""Claim trials: reserve them under the lock, sample outside it, write their parameters.

A crash between the two transactions leaves leased trials without parameters; they expire like
any other, go back to WAITING and are sampled again with the same index.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from optuna.trial import FrozenTrial

from hpsearch.faults import Window, reached
from hpsearch.sampling.base import ReservedTrial, SampledPoint, Sampler, SampleRequest
from hpsearch.sampling.distributions import to_distribution
from hpsearch.sampling.optuna_sampler import OptunaSampler
from hpsearch.sampling.random import PointDraw
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.definition import Definition
from hpsearch.spec.sections import Direction
from hpsearch.spec.space import ParameterValue
from hpsearch.spec.states import AttemptState, StudyState
from hpsearch.storage import attempts, studies, tallies, trials
from hpsearch.storage.attempts import AttemptRecord
from hpsearch.storage.database import Database, Transaction
from hpsearch.storage.history import History
from hpsearch.storage.points import Points
from hpsearch.storage.studies import StudyRecord
from hpsearch.storage.trials import TrialRecord
from hpsearch.storage.workers import ALIVE_FOR
from hpsearch.studies.compiled import compiled
from hpsearch.studies.exhaustion import points_left
from hpsearch.studies.settle import Claimable, claimable, settle

_USER_POINTS = 2**62
MAX_REDRAWS = 10  # of a duplicate point; then it is taken


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims: the worker, its device and how long its leases live."""

    worker: str
    device: str
    precision: str
    lease_s: float


@dataclass(frozen=True, slots=True)
class Reservation:
    """A RUNNING trial leased to this claim.

    Attributes:
        trial_id: Optuna's id.
        number: The trial's number.
        attempt: The attempt's number, from 1.
        token: The fence: reports with another token change nothing.
        sample_index: What a stateless sampler draws from.
        params: The parameters if an earlier attempt has them, else None.
        checkpoint: Where an earlier attempt stood, or None.
        fixed: What a user's point asks for, without meaning once there are ``params``; None
            for a sampled point.
    """

    trial_id: int
    number: int
    attempt: int
    token: str
    sample_index: int
    params: Mapping[str, ParameterValue] | None
    checkpoint: Mapping[str, Any] | None
    fixed: Mapping[str, ParameterValue] | None = None


@dataclass(frozen=True, slots=True)
class ClaimedTrial:
    """A trial ready to train."""

    number: int
    attempt: int
    token: str
    config: TrialConfig
    checkpoint: Mapping[str, Any] | None


def claim(
    database: Database,
    uuid: str,
    n: int,
    claim_id: str,
    claimant: Claimant,
    history: History | None = None,
) -> list[ClaimedTrial]:
    """Start up to ``n`` trials of a study on this worker.

    Idempotent: the same ``claim_id`` returns the same trials, as long as they run.

    Args:
        database: Where the study lives.
        uuid: The study.
        n: Most trials wanted.
        claim_id: Made by the caller, 36 characters, one per claim.
        claimant: Who asks.
        history: The caller's incremental view of the study, refreshed here if the sampler
            needs one; a new one if None.
    """
    study, reservations = reserve(database, uuid, n, claim_id, claimant)
    if study is None or not reservations:
        return []
    reached(Window.RESERVE_COMMITTED)
    definition = compiled(study)
    fresh = [reserved for reserved in reservations if reserved.params is None]
    drawn = _draw(database, study, definition, fresh, history or History(study.study_id))
    claimed = []
    for reserved in reservations:
        params = reserved.params
        if params is None and reserved.number in drawn:
            params = drawn[reserved.number].params
        if params is not None:
            claimed.append(
                ClaimedTrial(
                    reserved.number,
                    reserved.attempt,
                    reserved.token,
                    definition.space.resolve(params),
                    reserved.checkpoint,
                )
            )
    return claimed


def _draw(
    database: Database,
    study: StudyRecord,
    definition: Definition,
    fresh: Sequence[Reservation],
    history: History,
) -> dict[int, SampledPoint]:
    """Sample and record points; return those accepted, by number.

    With ``on_duplicate: resample`` a point the study has already is drawn anew, at most
    ``MAX_REDRAWS`` times.
    """
    sampler, space = definition.sampler, definition.space
    may_redraw = (
        isinstance(sampler, Sampler)
        and sampler.on_duplicate == "resample"
        and not space.is_empty
        and sampler.n_points(space) is None
    )
    drawn: dict[int, SampledPoint] = {}
    left = list(fresh)
    for n_refused in range(MAX_REDRAWS + 1 if may_redraw else 1):
        if not left:
            break
        points = sample(database, definition, left, history, n_refused)
        seen = None
        if may_redraw and n_refused < MAX_REDRAWS:
            seen = history.points
            with database.read() as tx:
                seen.refresh(tx)  # here, so that little is left to read under the lock
        accepted, refused = record_params(database, study, definition, left, points, seen)
        drawn |= {number: points[number] for number in accepted}
        left = [trial for trial in left if trial.number in refused]
    return drawn


def reserve(
    database: Database, uuid: str, n: int, claim_id: str, claimant: Claimant
) -> tuple[StudyRecord | None, list[Reservation]]:
    """Lease up to ``n`` trials: the claim's first transaction.

    WAITING trials come first, then new numbers within the limits. No worker takes more than
    its share of what is left while others are free.
    """
    with database.write() as tx:
        study = studies.lock_by_uuid(tx, uuid)
        if study is None:
            return None, []
        found = attempts.before_claim(
            tx, study.study_id, claim_id, claimant.worker, idle_within=ALIVE_FOR
        )
        if found.is_known:
            known = attempts.of_claim(tx, study.study_id, claim_id)
            return study, _known_reservations(tx, study, known)
        counts = tallies.count(tx, study)
        room = claimable(study, counts)
        take = min(n, -(-room.total // (1 + found.n_idle)))
        if take <= 0:
            return study, []
        mine = attempts.pack_limits(tx, study.study_id, claimant.worker)
        again, n_new = _choose(tx, study, mine, take, room, counts.waiting)
        if not again and n_new == 0:
            return study, []
        first_index = study.next_sample_index
        study = studies.advance(tx, study, found.at, n_indexes=n_new)
        reserved = _start_again(tx, again, study.revision, found.at)
        reserved += _start_new(tx, study, counts.total, first_index, n_new, found.at)
        _lease(tx, study, reserved, claim_id, claimant, found.at, len(mine))
        if mine:
            attempts.count_packs(tx, study.study_id, [claimant.worker])
        if points_left(study) == 0:
            settle(tx, study)  # the last point of a grid is out
        reached(Window.RESERVE_UNCOMMITTED)
        return study, reserved


def _choose(
    tx: Transaction,
    study: StudyRecord,
    mine: Sequence[int | None],
    take: int,
    room: Claimable,
    n_waiting: int,
) -> tuple[list[TrialRecord], int]:
    """Return which WAITING trials to start, and how many new ones beside them.

    Suspects of a death run among themselves: an idle worker takes them first, in a group no
    larger than their pack limit, and gets no other trial until all of them are cleared.

    Args:
        tx: The claim's transaction.
        study: The study.
        mine: The pack limits of the trials the worker has, None for those not suspected.
        take: Most trials wanted.
        room: What the limits leave.
        n_waiting: How many trials are WAITING.
    """
    if any(limit is not None for limit in mine):
        return [], 0
    if n_waiting == 0:  # the usual case, and looking for them takes time
        return [], min(take, room.new)
    suspects = [] if mine else trials.suspects(tx, study.study_id)
    if suspects:
        return suspects[:take], 0
    is_ending = study.state is StudyState.STOPPING
    again = trials.waiting(tx, study.study_id, take, begun=is_ending)
    return again, min(take - len(again), room.new)


def sample(
    database: Database,
    definition: Definition,
    reserved: Sequence[Reservation],
    history: History,
    n_refused: int = 0,
) -> dict[int, SampledPoint]:
    """Return a point for every reserved trial, by number; no lock is held meanwhile.

    Args:
        database: Where the study lives.
        definition: Its definition.
        reserved: The trials.
        history: What the study's trials were and became.
        n_refused: How many points drawn for these trials were duplicates.
    """
    if not reserved:
        return {}
    sampler = definition.sampler
    if not isinstance(sampler, Sampler):
        raise TypeError(f"{type(sampler).__name__} is registered as a sampler and is none")
    ask_all = isinstance(sampler, OptunaSampler)  # they complete points, others only make them
    asked = [trial for trial in reserved if ask_all or trial.fixed is None]
    points = {
        trial.number: _completed(definition, trial, trial.fixed)
        for trial in reserved
        if trial.fixed is not None and not ask_all
    }
    if not asked:
        return points
    request = SampleRequest(
        seed=definition.seed,
        space=definition.space,
        directions=_directions(definition),
        trials=tuple(
            ReservedTrial(trial.trial_id, trial.number, trial.sample_index, trial.fixed, n_refused)
            for trial in asked
        ),
        history=_reader(database, history, definition, sampler, asked),
        study_attrs=lambda: _study_attrs(database, history.study_id),
    )
    return points | sampler.sample(request)


def _completed(
    definition: Definition, trial: Reservation, fixed: Mapping[str, ParameterValue]
) -> SampledPoint:
    """Return a user's point, what they left open drawn at random."""
    # far from the indices of sampled points, or the open part would be one of theirs
    draw = PointDraw(definition.seed, _USER_POINTS + trial.number)
    return SampledPoint(
        definition.space.suggest(
            lambda name, domain: fixed[name] if name in fixed else draw(name, domain)
        )
    )


def record_params(
    database: Database,
    study: StudyRecord,
    definition: Definition,
    reserved: Sequence[Reservation],
    points: Mapping[int, SampledPoint],
    seen: Points | None = None,
) -> tuple[set[int], set[int]]:
    """Write sampled points: the claim's second transaction.

    A trial whose lease was lost meanwhile keeps what its new owner draws for it.

    Args:
        database: Where the study lives.
        study: The study.
        definition: Its definition.
        reserved: The trials.
        points: What was drawn for them.
        seen: Refuse points that the study has already; None to take any.

    Returns:
        The numbers accepted, and those refused as duplicates.
    """
    if not reserved:
        return set(), set()
    with database.write() as tx:
        if studies.lock_by_uuid(tx, study.uuid) is None:
            return set(), set()
        tokens = [trial.token for trial in reserved]
        unset = attempts.without_params(tx, study.study_id, tokens)
        domains = definition.space.domains
        write = [trial for trial in reserved if trial.number in unset]
        refused = set() if seen is None else _duplicates(tx, seen, write, points)
        write = [trial for trial in write if trial.number not in refused]
        if write:
            attrs = [points[trial.number].study_attrs for trial in write]
            studies.add_attrs(tx, study, {key: of[key] for of in attrs for key in of})
            trials.write_params(
                tx,
                {
                    trial.trial_id: {
                        name: (value, to_distribution(domains[name]))
                        for name, value in points[trial.number].params.items()
                    }
                    for trial in write
                },
                {trial.trial_id: points[trial.number].system_attrs for trial in write},
                {
                    trial.trial_id: definition.space.resolve(
                        points[trial.number].params
                    ).training.epochs
                    for trial in write
                },
                revision=studies.raise_revision(tx, study),
            )
        reached(Window.PARAMS_UNCOMMITTED)
    reached(Window.PARAMS_COMMITTED)
    return unset - refused, refused


def _duplicates(
    tx: Transaction,
    seen: Points,
    reserved: Sequence[Reservation],
    points: Mapping[int, SampledPoint],
) -> set[int]:
    """Return the numbers of drawn points that another trial has, under the study's lock."""
    seen.refresh(tx)
    refused, mine = set(), list[Mapping[str, ParameterValue]]()
    for trial in reserved:
        point = points[trial.number].params
        if trial.fixed is None and (point in seen or point in mine):
            refused.add(trial.number)
        mine.append(point)
    return refused


def _study_attrs(database: Database, study_id: int) -> dict[str, Any]:
    with database.read() as tx:
        return studies.read_attrs(tx, study_id)


def _reader(
    database: Database,
    history: History,
    definition: Definition,
    sampler: Sampler,
    reserved: Sequence[Reservation],
) -> Callable[[], Sequence[FrozenTrial]]:
    directions = _directions(definition)
    memory = sampler.memory(len(directions))
    mine = {trial.number for trial in reserved}  # nothing is known of them yet

    def read() -> Sequence[FrozenTrial]:
        with database.read() as tx:
            if memory is None:
                history.refresh(tx)
                return history.trials
            outline = history.outline(len(directions))
            outline.refresh(tx)
            chosen = memory.choose(outline, directions, definition.seed)
            return outline.whole(tx, set(chosen.tolist()) - mine)

    return read


def _directions(definition: Definition) -> tuple[Direction, ...]:
    return tuple(objective.direction for objective in definition.objectives)


def _start_again(
    tx: Transaction, records: Sequence[TrialRecord], revision: int, at: datetime
) -> list[Reservation]:
    if not records:
        return []
    trials.start(tx, records, revision=revision, at=at)
    params, fixed = _points(tx, records)
    return [
        Reservation(
            trial_id=record.trial_id,
            number=record.number,
            attempt=record.n_attempts + 1,
            token=secrets.token_hex(16),
            sample_index=_index(record),
            params=params.get(record.trial_id, {}) if record.has_params else None,
            checkpoint=record.checkpoint,
            fixed=fixed.get(record.trial_id),
        )
        for record in records
    ]


def _start_new(
    tx: Transaction,
    study: StudyRecord,
    first_number: int,
    first_index: int,
    n: int,
    at: datetime,
) -> list[Reservation]:
    if n <= 0:
        return []
    ids = trials.insert_trials(
        tx,
        study.study_id,
        first_number=first_number,
        sample_indices=range(first_index, first_index + n),
        revision=study.revision,
        at=at,
    )
    return [
        Reservation(
            trial_id=trial_id,
            number=first_number + i,
            attempt=1,
            token=secrets.token_hex(16),
            sample_index=first_index + i,
            params=None,
            checkpoint=None,
        )
        for i, trial_id in enumerate(ids)
    ]


def _lease(
    tx: Transaction,
    study: StudyRecord,
    reserved: Sequence[Reservation],
    claim_id: str,
    claimant: Claimant,
    at: datetime,
    n_companions: int,
) -> None:
    attempts.insert_attempts(
        tx,
        [
            {
                "study_id": study.study_id,
                "trial_id": trial.trial_id,
                "trial_number": trial.number,
                "number": trial.attempt,
                "claim_id": claim_id,
                "token": trial.token,
                "worker": claimant.worker,
                "device": claimant.device,
                "precision": claimant.precision,
                "pack_size": n_companions + len(reserved),
                "started_at": at,
                "lease_expires_at": at + timedelta(seconds=claimant.lease_s),
            }
            for trial in reserved
        ],
    )


def _known_reservations(
    tx: Transaction, study: StudyRecord, known: Sequence[AttemptRecord]
) -> list[Reservation]:
    running = {a.trial_number: a for a in known if a.state is AttemptState.RUNNING}
    records = trials.by_numbers(tx, study.study_id, running)
    params, fixed = _points(tx, records)
    return [
        Reservation(
            trial_id=record.trial_id,
            number=record.number,
            attempt=running[record.number].number,
            token=running[record.number].token,
            sample_index=_index(record),
            params=params.get(record.trial_id, {}) if record.has_params else None,
            checkpoint=record.checkpoint,
            fixed=fixed.get(record.trial_id),
        )
        for record in records
    ]


_Params = dict[int, dict[str, ParameterValue]]


def _points(tx: Transaction, records: Sequence[TrialRecord]) -> tuple[_Params, _Params]:
    """Return what is drawn, and what users' points ask for, by trial id."""
    drawn = trials.read_params(tx, [record.trial_id for record in records])
    users = [record.trial_id for record in records if record.sample_index is None]
    return drawn, trials.fixed_params(tx, users)


def _index(record: TrialRecord) -> int:
    # a user's point has no index: what it leaves open is drawn apart
    return record.number if record.sample_index is None else record.sample_index
