import pytest

from hpsearch.errors import KeyReused, NameTaken, RequestInvalid, StudyNotFound, WrongState
from hpsearch.spec.states import StudyState
from hpsearch.storage.database import Database
from hpsearch.studies.control import cancel, delete_study, pause, resume, stop
from hpsearch.studies.create import create_study
from hpsearch.studies.next_study import next_study
from hpsearch.studies.read import best_trials, get_study, get_trial, list_studies, list_trials
from tests.studies import definition, ended, stored


def test_a_study_reads_as_it_was_written(database: Database) -> None:
    parsed = definition(description="digits", tags=["a", "b"], weight=2)

    view, is_new = create_study(database, parsed)

    assert is_new
    assert view == get_study(database, "study")
    assert view.definition == parsed.document
    assert (view.tags, view.weight, view.state) == (("a", "b"), 2.0, StudyState.ACTIVE)


def test_a_name_is_taken_once(database: Database) -> None:
    create_study(database, definition())
    with pytest.raises(NameTaken):
        create_study(database, definition())


def test_a_replayed_key_returns_the_study_it_made(database: Database) -> None:
    made, _ = create_study(database, definition(), idempotency_key="k", body_sha256="1")

    again, is_new = create_study(database, definition(), idempotency_key="k", body_sha256="1")

    assert (again.name, is_new) == (made.name, False)
    with pytest.raises(KeyReused):
        create_study(database, definition("other"), idempotency_key="k", body_sha256="2")


def test_verbs_lead_from_state_to_state(database: Database) -> None:
    stored(database)
    assert pause(database, "study").state is StudyState.PAUSED
    assert pause(database, "study").state is StudyState.PAUSED
    assert resume(database, "study").state is StudyState.ACTIVE
    assert stop(database, "study").state is StudyState.STOPPED
    assert stop(database, "study").state is StudyState.STOPPED
    assert resume(database, "study").state is StudyState.ACTIVE
    assert cancel(database, "study").state is StudyState.CANCELLED
    assert stop(database, "study").state is StudyState.CANCELLED
    for verb in (pause, resume):
        with pytest.raises(WrongState):
            verb(database, "study")


def test_an_active_study_is_not_deleted_and_an_ended_one_leaves_nothing(
    database: Database,
) -> None:
    hand = stored(database)
    hand.finish(hand.claim(1)[0])
    with pytest.raises(WrongState):
        delete_study(database, "study")
    cancel(database, "study")

    delete_study(database, "study")

    with pytest.raises(StudyNotFound):
        get_study(database, "study")
    create_study(database, definition())
    assert list_trials(database, "study") == ([], None)


def test_pages_are_stable_while_trials_are_added(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 7})
    hand.claim(3)
    first, token = list_trials(database, "study", limit=2)
    hand.claim(4)

    second, token = list_trials(database, "study", limit=2, page_token=token)
    rest, end = list_trials(database, "study", limit=100, page_token=token)

    assert [trial.number for trial in first + second + rest] == list(range(7))
    assert end is None


def test_trials_are_listed_best_first(database: Database) -> None:
    hand = stored(database, limits={"max_trials": 5})
    claimed = hand.claim(5)
    for trial, value in zip(claimed, (0.3, 0.9, 0.5), strict=False):
        hand.finish(trial, value)

    best, token = list_trials(database, "study", order_by="value", limit=2)
    rest, _ = list_trials(database, "study", order_by="value", page_token=token)
    worst, _ = list_trials(database, "study", order_by="-value")

    assert [trial.number for trial in best + rest] == [1, 2, 0, 3, 4]
    assert [trial.number for trial in worst] == [0, 2, 1, 3, 4]


def test_several_objectives_have_a_front(database: Database) -> None:
    hand = stored(database, objectives=[{"metric": "val_accuracy"}, {"metric": "n_parameters"}])
    points = [(0.9, 100.0), (0.8, 50.0), (0.7, 80.0), (0.9, 100.0)]
    for trial, values in zip(hand.claim(4), points, strict=True):
        message = ended(trial, 0.5)
        assert message.end is not None
        end = type(message.end)(message.end.state, 1, values)
        hand.report(type(message)(trial.number, trial.token, message.epochs, 1.0, 10, end))

    assert [trial.number for trial in best_trials(database, "study")] == [0, 1, 3]


@pytest.mark.parametrize("token", ["", "!", "bnVsbA", "WzFd" * 9, "W10"])
def test_a_made_up_page_token_is_refused(database: Database, token: str) -> None:
    stored(database)
    with pytest.raises(RequestInvalid):
        list_studies(database, page_token=token)


def test_a_trial_number_beyond_every_database_is_simply_not_there(database: Database) -> None:
    stored(database)
    with pytest.raises(Exception, match="has no trial"):
        get_trial(database, "study", 10**30)


def test_studies_are_filtered_and_paged_newest_first(database: Database) -> None:
    for i in range(5):
        stored(database, f"study-{i}", tags=["even"] if i % 2 == 0 else [])

    page, token = list_studies(database, tag="even", limit=2)
    rest, end = list_studies(database, tag="even", limit=2, page_token=token)

    assert [study.name for study in page + rest] == ["study-4", "study-2", "study-0"]
    assert end is None
    assert list_studies(database, state="PAUSED") == ([], None)


def test_the_study_owed_most_is_next(database: Database) -> None:
    one, two = stored(database, "one"), stored(database, "two", weight=4)
    one.report(ended(one.claim(1)[0], 0.5, device_seconds=10))
    two.report(ended(two.claim(1)[0], 0.5, device_seconds=20))

    study = next_study(database, "cpu")

    assert study is not None
    assert study.name == "two"


def test_a_study_for_gpus_is_not_for_a_cpu(database: Database) -> None:
    stored(database, execution={"device": "cuda"})
    assert next_study(database, "cpu") is None
    assert next_study(database, "cuda:0") is not None
