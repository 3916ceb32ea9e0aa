"""A study in the browser, its trials trained by hand."""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from hpsearch.spec.states import StudyState
from hpsearch.studies.read import get_study, list_trials
from hpsearch.studies.recover import worker_lost
from tests.services.live_server import LiveServer, live_server
from tests.studies import Hand, stored

OpenPage = Callable[..., Page]


def wait_for_epochs(page: Page, number: int, n: int) -> None:
    page.wait_for_function(
        """([key, n]) => (document.querySelector(`#curves path[data-key="${key}"]`)
            ?.getAttribute("d").match(/[ML]/g) ?? []).length === n""",
        arg=[number, n],
    )


def test_curves_grow_as_epochs_end_and_the_best_trial_appears(
    server: LiveServer, open_page: OpenPage
) -> None:
    hand = stored(server.database, limits={"max_trials": 2})
    page = open_page(server.login_link, "/studies/study")
    expect(page.locator("#curves")).to_contain_text("No epoch has ended yet.")
    trial, other = hand.claim(2)
    for epoch in range(1, 4):
        hand.epoch(trial, epoch, epoch / 10)
        wait_for_epochs(page, 0, epoch)
    expect(page.locator("[data-runs]")).to_contain_text("epoch 3")
    expect(page.locator("[data-count-running]")).to_have_text("2")
    hand.finish(trial, 0.9556, epoch=4)
    hand.finish(other, 0.5)
    expect(page.locator("[data-best] a")).to_have_text("Trial 0")
    expect(page.locator("[data-best] .figures")).to_contain_text("0.9556")
    expect(page.locator("[data-state]")).to_have_text("COMPLETED")
    expect(page.locator("[data-live]")).to_have_text("ended")
    labels = page.locator("#curves text").all_text_contents()
    tops = [float(text) for text in labels if re.fullmatch(r"[\d.]+", text) and "." in text]
    assert max(tops) >= 0.9556, "the axis reaches the best value"


def test_a_study_is_paused_resumed_and_deleted_by_its_buttons(
    server: LiveServer, open_page: OpenPage
) -> None:
    stored(server.database)
    page = open_page(server.login_link, "/studies/study")
    expect(page.get_by_role("button", name="Resume")).to_be_disabled()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-state]")).to_have_text("PAUSED")
    assert get_study(server.database, "study").state is StudyState.PAUSED
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-state]")).to_have_text("ACTIVE")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("[data-state]")).to_have_text("STOPPED")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="No studies yet")).to_be_visible()


def test_a_dropped_stream_goes_on_without_a_gap(
    sqlite_url: str, tmp_path: Path, open_page: OpenPage
) -> None:
    with live_server(sqlite_url, tmp_path / "data") as server:
        hand = stored(server.database, limits={"max_trials": 2})
        trial = hand.claim(1)[0]
        page = open_page(server.login_link, "/studies/study")
        hand.epoch(trial, 1)
        wait_for_epochs(page, 0, 1)
        port = int(server.url.rpartition(":")[2])
        uuid = hand.uuid
    expect(page.locator("[data-live]")).to_have_text("reconnecting")
    with live_server(sqlite_url, tmp_path / "data", port=port) as server:
        hand = Hand(server.database, uuid)
        for epoch in range(2, 5):  # before the page is back, or just after
            hand.epoch(trial, epoch)
        wait_for_epochs(page, 0, 4)
        expect(page.locator("[data-live]")).to_have_text("live")
        hand.epoch(trial, 5)
        wait_for_epochs(page, 0, 5)
        page.goto("about:blank")


def test_epochs_a_lost_worker_took_along_leave_the_chart(
    server: LiveServer, open_page: OpenPage
) -> None:
    hand = stored(server.database)
    trial = hand.claim(1)[0]
    page = open_page(server.login_link, "/studies/study")
    for epoch in (1, 2, 3):
        hand.epoch(trial, epoch)
    wait_for_epochs(page, 0, 3)
    worker_lost(server.database, hand.worker)
    wait_for_epochs(page, 0, 0)
    again = hand.claim(1)[0]
    hand.epoch(again, 1)
    wait_for_epochs(page, 0, 1)


def test_trials_are_sorted_filtered_paged_and_compared(
    server: LiveServer, open_page: OpenPage
) -> None:
    hand = stored(server.database, limits={"max_trials": 30})
    for i, trial in enumerate(hand.claim(30)):
        hand.finish(trial, i / 100)
    page = open_page(server.login_link, "/studies/study/trials?limit=25")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(25)
    expect(rows.first.locator(".num")).to_have_text("29")
    expect(rows.first).to_have_class("best")
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(5)
    page.goto(f"{server.url}/studies/study/trials?limit=25")
    page.get_by_role("link", name="learning_rate").click()
    texts = page.locator('[data-param="optimizer.learning_rate"]').all_inner_texts()
    rates = [float(text) for text in texts]
    assert rates == sorted(rates)
    page.get_by_label("Parameters").fill(f"learning_rate < {sorted(rates)[5]}")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**where=*")
    n_shown = rows.count()
    assert 4 <= n_shown <= 7
    page.get_by_label("Parameters").fill("depth = 3")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("alert")).to_contain_text("optimizer.learning_rate")
    boxes = page.locator("tbody input[type=checkbox]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("button", name="Compare chosen").click()
    expect(page.get_by_role("heading", name="Compare trials")).to_be_visible()
    expect(page.locator("#charts svg[role=img]").first).to_be_visible()


def test_rows_change_in_place_and_new_ones_are_announced(
    server: LiveServer, open_page: OpenPage
) -> None:
    hand = stored(server.database)
    trial = hand.claim(1)[0]
    page = open_page(server.login_link, "/studies/study/trials")
    row = page.locator('[data-trial="0"]')
    expect(row.locator("[data-trial-state]")).to_have_text("RUNNING")
    hand.epoch(trial, 1)
    expect(row.locator("[data-epochs]")).to_have_text("1")
    hand.finish(trial, 0.25, epoch=2)
    expect(row.locator("[data-value]")).to_have_text("0.25")
    hand.claim(2)
    expect(page.locator("[data-news]")).to_have_text("2 more: show them")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_trial_shows_itself_and_runs_again(server: LiveServer, open_page: OpenPage) -> None:
    hand = stored(server.database, limits={"max_trials": 8})
    trial = hand.claim(1)[0]
    page = open_page(server.login_link, "/studies/study/trials/0")
    hand.epoch(trial, 1, 0.5)
    expect(page.locator("[data-epochs]")).to_have_text("1")
    expect(page.locator("#charts")).to_contain_text("val_accuracy")
    hand.finish(trial, 0.75, epoch=2)
    expect(page.locator('[data-objective="val_accuracy"]')).to_have_text("0.75")
    expect(page.get_by_text("SUCCEEDED")).to_be_visible()
    page.get_by_label("How many times").fill("2")
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#toast")).to_contain_text("Added: trial 1, 2.")
    trials, _ = list_trials(server.database, "study")
    assert [each.params for each in trials] == [trials[0].params] * 3


def test_figures_follow_their_study_and_keep_what_was_zoomed(
    server: LiveServer, open_page: OpenPage
) -> None:
    hand = stored(server.database, limits={"max_trials": 9})
    first, second, third = hand.claim(3)
    hand.finish(first, 0.5)
    hand.finish(second, 0.6)
    page = open_page(server.login_link, "/studies/study/plots")
    figure = page.frame_locator('iframe[data-kind="history"]').locator("[data-canvas]")
    expect(figure.locator(".points path")).to_have_count(2, timeout=30_000)
    figure.evaluate("e => Plotly.relayout(e, {'yaxis.range': [0.4, 0.9]})")
    hand.finish(third, 0.7)
    expect(figure.locator(".points path")).to_have_count(3, timeout=30_000)
    assert figure.evaluate("e => [...e._fullLayout.yaxis.range]") == [0.4, 0.9]


def test_a_study_deleted_under_the_eyes_of_a_second_tab_says_so(
    server: LiveServer, open_page: OpenPage
) -> None:
    hand = stored(server.database)
    watching = open_page(server.login_link, "/studies/study")
    acting = open_page(server.login_link, "/studies/study")
    trial = hand.claim(1)[0]
    for page in (watching, acting):
        expect(page.locator("[data-count-running]")).to_have_text("1")
    acting.get_by_role("button", name="Stop").click()
    expect(watching.locator("[data-state]")).to_have_text("STOPPING")
    acting.get_by_role("button", name="Resume").click()
    expect(watching.locator("[data-state]")).to_have_text("ACTIVE")
    acting.get_by_role("button", name="Pause").click()
    expect(watching.locator("[data-state]")).to_have_text("PAUSED")
    hand.finish(trial)
    expect(watching.locator("[data-count-running]")).to_have_text("0")
    acting.get_by_role("button", name="Delete").click()
    acting.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(watching.locator("[data-live]")).to_have_text("deleted")
    expect(watching.locator("#toast")).to_contain_text("This study has been deleted.")


def test_a_trial_whose_model_is_gone_offers_no_download(
    server: LiveServer, open_page: OpenPage
) -> None:
    hand = stored(server.database)
    hand.finish(hand.claim(1)[0], 0.75)
    page = open_page(server.login_link, "/studies/study/trials/0")
    expect(page.get_by_role("link", name="Trial, JSON")).to_be_visible()
    expect(page.get_by_role("link", name="Model, safetensors")).to_have_count(0)
    expect(page.get_by_text("not in this server's artifacts")).to_be_visible()
