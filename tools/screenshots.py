"""Take the pictures of the documentation: a service of its own, a study, a browser.

    .venv/bin/python tools/screenshots.py [FOLDER]

Needs a Chromium or Chrome on the PATH and takes about a minute on two idle cores.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, sync_playwright
from pydantic import SecretStr

from hpsearch.client.client import Client
from hpsearch.local.stack import Stack
from hpsearch.settings import Settings
from hpsearch.spec.states import StudyState

FOLDER = Path(__file__).parents[1] / "docs" / "screenshots"
TOKEN = "screenshots"  # noqa: S105 - of a server that lives for a minute
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, TALL, NARROW = (1280, 800), (1280, 1240), (360, 740)
STUDY = """\
name: digits-optimizers
description: Three optimizers on handwritten digits, the hopeless trials pruned by the median.
tags: [digits]
dataset: {name: digits}
model:
  family: mlp
  hidden_layers: {low: 1, high: 2}
  hidden_units: {low: 16, high: 256, log: true}
optimizer:
  choices:
  - {name: sgd, learning_rate: {low: 1e-3, high: 1, log: true}, momentum: {low: 0, high: 0.99}}
  - {name: adam, learning_rate: {low: 1e-4, high: 3e-2, log: true}}
  - {name: rmsprop, learning_rate: {low: 1e-5, high: 1e-2, log: true}}
training: {epochs: 40, batch_size: {choices: [32, 64, 128]}}
pruner: {name: median, n_startup_trials: 5, n_warmup_steps: 4}
limits: {max_trials: 60, max_concurrent_trials: 8}
"""
RANDOM = STUDY.replace("digits-optimizers", "digits-random").replace(
    "limits:", "sampler: {name: random}\nlimits:"
)
SHOOT_AT = 30  # finished trials: there is something to see, and something goes on
SETTLE_S = 2.0  # until curves have grown once
DRAWN_MS = 60_000  # most a figure may take


def main(folder: Path) -> None:
    """Write the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        sys.exit(f"none of {', '.join(NAMES)} is installed")
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        settings = Settings(data_dir=Path(data), token=SecretStr(TOKEN), port=0)
        with Stack(settings) as stack:
            stack.wait_ready(120)
            client = Client(stack.url, TOKEN)
            client.submit(RANDOM)
            _wait(client, "digits-random", 60)
            client.submit(STUDY)
            _wait(client, "digits-optimizers", SHOOT_AT)
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            _shoot(browser, stack.url, folder)
            browser.close()


def _wait(client: Client, name: str, n_finished: int) -> None:
    while True:
        study = client.study(name)
        if study.progress.finished >= n_finished or study.state is not StudyState.ACTIVE:
            return
        time.sleep(0.2)


def _shoot(browser: Browser, url: str, folder: Path) -> None:
    study = "/studies/digits-optimizers"
    _picture(browser, url, study, folder / "study.png")
    _picture(browser, url, study, folder / "study-dark.png", scheme="dark")
    _picture(browser, url, study, folder / "study-narrow.png", size=NARROW)
    _picture(browser, url, f"{study}/trials", folder / "trials.png")
    _picture(browser, url, f"{study}/trials/0", folder / "trial.png")
    compared = "?trial=0&trial=1&trial=2"
    _picture(browser, url, f"{study}/compare{compared}", folder / "compare.png")
    _picture(browser, url, f"{study}/plots", folder / "plots.png", size=TALL)
    _picture(browser, url, "/new", folder / "new.png")
    _picture(
        browser,
        url,
        "/compare?study=digits-random&study=digits-optimizers",
        folder / "compare-studies.png",
    )
    _picture(browser, url, "/", folder / "studies.png", scheme="dark")


def _picture(
    browser: Browser,
    url: str,
    path: str,
    target: Path,
    *,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = WIDE,
) -> None:
    viewport: Any = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{url}/login?token={TOKEN}")
    page.goto(url + path)
    page.wait_for_timeout(SETTLE_S * 1000)
    for frame in page.frames[1:]:
        if frame.url.startswith("http"):  # one that is in sight
            frame.wait_for_selector("[data-drawn]", timeout=DRAWN_MS)
    page.screenshot(path=target)
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
