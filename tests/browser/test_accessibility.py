"""Every page, light and dark, wide and narrow: no serious finding of axe, nothing cut off."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from hpsearch.spec.states import FailureKind, TrialState
from hpsearch.studies.report import Ending, TrialReport
from tests.services.live_server import LiveServer, live_server
from tests.studies import metrics_of, stored

OpenPage = Callable[..., Page]
SERIOUS = {"serious", "critical"}
PATHS = (
    "/",
    "/new",
    "/workers",
    "/datasets",
    "/docs",
    "/studies/study",
    "/studies/study/trials",
    "/studies/study/definition",
    "/studies/study/plots",
    "/studies/study/trials/0",
    "/studies/study/trials/1",
    "/studies/study/compare?trial=0&trial=1",
    "/compare?study=study&study=other",
    "/login",
    "/v1/studies/study/report.html",
)
REFUSED = ("/studies/nobody", "/studies/study/trials?limit=1")


@pytest.fixture(scope="module")
def shown(
    _sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server with a study that has trials in every state."""
    folder = tmp_path_factory.mktemp("shown")
    path = folder / "hpsearch.db"
    path.write_bytes(_sqlite_template.read_bytes())
    with live_server(f"sqlite:///{path}", folder / "data") as server:
        stored(server.database, "other", tags=["a tag"])
        hand = stored(server.database, limits={"max_trials": 9}, tags=["first"])
        done, failed, running, _ = hand.claim(4)
        for epoch in (1, 2, 3):
            hand.epoch(running, epoch, epoch / 10)
        hand.finish(done, 0.75)
        message = "RuntimeError: loss is nan\n  at step 3"
        end = Ending(TrialState.FAIL, failure=(FailureKind.DIVERGED, message))
        hand.report(TrialReport(failed.number, failed.token, {1: metrics_of(0.1)}, 1.0, 10, end))
        yield server


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_used_by_everybody(
    shown: LiveServer, open_page: OpenPage, scheme: Literal["light", "dark"]
) -> None:
    page = open_page(shown.login_link, color_scheme=scheme)
    found: list[str] = []
    options: dict[str, Any] = {"iframes": False}
    if scheme == "dark":
        options["runOnly"] = ["color-contrast"]  # nothing else differs
    for path in PATHS + REFUSED:
        page.goto(shown.url + path)
        results: Any = Axe().run(page, options=options).response
        found += [
            f"{path}: {each['id']} {each['nodes'][0]['html'][:120]} ({each['help']})"
            for each in results["violations"]
            if each["impact"] in SERIOUS
        ]
    assert found == [], "\n".join(found)


def test_nothing_is_cut_off_on_a_small_screen(shown: LiveServer, open_page: OpenPage) -> None:
    page = open_page(shown.login_link, viewport={"width": 360, "height": 740})
    too_wide = []
    for path in PATHS:
        page.goto(shown.url + path)
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            too_wide.append(path)
    assert too_wide == []


def test_pages_say_what_they_know_without_any_script(shown: LiveServer, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shown.login_link)
    for path in PATHS:
        answer = page.goto(shown.url + path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("h1").count() == 1
    context.close()
