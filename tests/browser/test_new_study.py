"""A study from the editor to its end, on a whole service with real workers."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from hpsearch.api.pages.new_study import examples
from hpsearch.catalog import installed_catalog
from hpsearch.local.stack import Stack
from hpsearch.settings import Settings
from hpsearch.spec.definition import parse_definition
from hpsearch.spec.yaml import load_yaml
from tests.services.live_server import LiveServer

OpenPage = Callable[..., Page]
TOKEN = "the-token-of-the-browser"
QUICK = """\
name: from-the-browser
dataset: {name: digits}
model: {family: mlp, hidden_units: {choices: [16, 32, 64]}}
optimizer: {name: adam, learning_rate: {low: 1e-4, high: 1e-2, log: true}}
training: {epochs: 40, batch_size: 32}
sampler: {name: random}
limits: {max_trials: 5000, max_concurrent_trials: 4}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    values: dict[str, Any] = {"data_dir": tmp_path / "data", "port": 0, "devices": "cpu:1"}
    settings = Settings(_env_file=None, token=SecretStr(TOKEN), **values)
    with Stack(settings) as stack:
        stack.wait_ready(120)
        yield stack


def test_a_study_is_written_watched_paused_and_resumed(stack: Stack, open_page: OpenPage) -> None:
    page = open_page(f"{stack.url}/login?token={TOKEN}", "/new")
    page.get_by_label("Definition of the study, YAML").fill(QUICK)
    page.get_by_role("button", name="Create and start").click()
    expect(page.get_by_role("heading", name="from-the-browser")).to_be_visible()
    curves = page.locator("#curves path.line")
    expect(curves.first).to_be_attached(timeout=60_000)
    first = curves.count()
    page.wait_for_function(
        "n => document.querySelectorAll('#curves path.line').length > n", arg=first, timeout=60_000
    )
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-state]")).to_have_text("PAUSED")
    expect(page.locator("[data-count-running]")).to_have_text("0", timeout=60_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-state]")).to_have_text("ACTIVE")
    expect(page.locator("[data-best] a")).to_have_text(re.compile("Trial"), timeout=60_000)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the study").click()
    expect(page.locator("[data-state]")).to_have_text("CANCELLED")
    page.locator("[data-best] a").click()
    expect(page.get_by_role("heading", name="Confusion on the test split")).to_be_visible()
    expect(page.locator("#histograms svg")).to_have_count(0)
    page.get_by_role("button", name="Show histograms").click()
    first_bars = page.locator("#histograms section", has_text="0.weight").locator("rect")
    expect(first_bars).to_have_count(40)
    expect(page.locator("#histograms")).to_contain_text("deviation")
    expect(page.get_by_role("button", name="Show histograms")).to_be_hidden()
    with page.expect_download() as download:
        page.get_by_role("link", name="Model, safetensors").click()
    assert download.value.path().stat().st_size > 1_000


def test_the_editor_names_mistakes_by_their_lines(server: LiveServer, open_page: OpenPage) -> None:
    page = open_page(server.login_link, "/new")
    verdict = page.locator("#verdict")
    create = page.get_by_role("button", name="Create and start")
    expect(verdict).to_have_text("Ready to start")
    expect(create).to_be_enabled()
    text = page.get_by_label("Definition of the study, YAML")
    text.fill(QUICK.replace("hidden_units", "hiden_units").replace("epochs: 40", "epochs: 0"))
    expect(verdict).to_have_text("2 things to mend")
    expect(create).to_be_disabled()
    expect(page.locator("#gutter b")).to_have_text(["3", "5"])
    page.get_by_role("button", name="line 5").click()
    chosen = text.evaluate("e => e.value.slice(e.selectionStart, e.selectionEnd)")
    assert chosen.startswith("training:")
    text.fill("name: [")
    expect(verdict).to_have_text("1 thing to mend")
    page.get_by_label("Start from").select_option("accuracy against size")
    expect(verdict).to_have_text("Ready to start")
    expect(page.locator("#facts")).to_contain_text("n_parameters, minimize")
    text.press("Control+Enter")
    expect(page.get_by_role("heading", name="digits-small")).to_be_visible()


@pytest.mark.parametrize("name", list(examples()))
def test_every_example_can_be_started_as_it_stands(name: str) -> None:
    document, lines = load_yaml(examples()[name])
    assert parse_definition(document, installed_catalog(), lines).name
