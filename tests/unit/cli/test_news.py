"""What `hpsearch up` tells about the studies while it runs."""

from hpsearch.cli.server import NEWS_S, News
from hpsearch.client.decode import decode
from hpsearch.spec.views import StudyView
from tests.services.fake_api import study, trial


def seen(*n_trials: int, **changes: object) -> list[StudyView]:
    trials = [trial(number) for number in range(n_trials[0] if n_trials else 0)]
    return [decode(StudyView, study("digits", trials, **changes))]


def test_a_change_of_state_is_told_at_once_and_once() -> None:
    news = News()

    told = [
        news.lines(seen(0), 0.0),
        news.lines(seen(0), 1.0),
        news.lines(seen(1, state="PAUSED"), 2.0),
        news.lines(seen(1, state="PAUSED"), 3.0),
    ]

    assert told == [
        ["digits: ACTIVE, 0 of 20 trials"],
        [],
        ["digits: PAUSED, 1 of 20 trials, best val_accuracy 0.9 (trial 0)"],
        [],
    ]


def test_progress_is_told_now_and_then_but_only_if_there_is_any() -> None:
    news = News()
    news.lines(seen(0), 0.0)

    assert news.lines(seen(1), NEWS_S / 2) == []
    assert len(news.lines(seen(1), NEWS_S)) == 1
    assert news.lines(seen(1), 3 * NEWS_S) == []


def test_an_ended_study_is_no_longer_followed() -> None:
    news = News()
    news.lines(seen(0), 0.0)
    assert news.followed == {"digits"}

    told = news.lines(seen(2, state="COMPLETED", state_reason="MAX_TRIALS"), 1.0)

    assert told[0].startswith("digits: COMPLETED (MAX_TRIALS), 2 of 20 trials")
    assert news.followed == set()


def test_a_deleted_study_is_forgotten() -> None:
    news = News()
    news.lines(seen(0), 0.0)

    news.forget("digits")

    assert news.followed == set()
