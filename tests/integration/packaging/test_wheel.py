"""The wheel alone, in a clean environment outside the checkout, takes a study to its end."""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.services.processes import Household, household, until
from tests.services.sockets import free_port

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "digits-mlp.yaml"
TOKEN = "the-token-of-this-test"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that holds the wheel.

    Its dependencies come from the environment of the tests, by a path file; that environment's
    own link to the checkout is not followed.
    """
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*install, "--no-index", "--no-deps", str(wheel)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def home(python: Path, tmp_path: Path) -> Iterator[Household]:
    environment = {
        "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
        "HOME": str(tmp_path / "home"),
        "HPSEARCH_DATA_DIR": str(tmp_path / "data"),
        "HPSEARCH_DEVICES": "cpu:2",
        "HPSEARCH_TOKEN": TOKEN,
        "HPSEARCH_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }
    with household(environment, tmp_path) as members:
        yield members


def test_the_wheel_owns_one_name_and_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "hpsearch").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    assert any(name.endswith(".html") for name in held)
    assert any("/migrations/versions/" in name for name in held)


def test_the_wheel_runs_the_example_far_from_the_checkout(
    python: Path, home: Household, tmp_path: Path
) -> None:
    where = subprocess.run(
        [python, "-P", "-c", "import hpsearch; print(hpsearch.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert where.startswith(str(python.parents[1]))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "digits.yaml").write_text(EXAMPLE.read_text())

    command = [str(python.with_name("hpsearch")), "run", "digits.yaml"]
    run = home.start("run", command, {}, tmp_path / "mine")
    assert run.wait(240) == 0, home.log_of("run").read_text()

    said = home.log_of("run").read_text()
    assert best_accuracy(said) >= 0.96, said
    assert until(lambda: not home.living() or None, 5, "the last process to end")


def best_accuracy(summary: str) -> float:
    """Return the first value of the summary's line about the best trial."""
    found = re.search(r"[Bb]est.*?(0\.\d+|1\.0)", summary, re.DOTALL)
    assert found is not None, summary
    return float(found[1])


def test_the_wheel_serves_its_pages(python: Path, home: Household, tmp_path: Path) -> None:
    command = [str(python.with_name("hpsearch")), "up"]
    up = home.start("up", command, {"HPSEARCH_DEVICES": "cpu:1"}, tmp_path)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{home.environment['HPSEARCH_PORT']}"
    with httpx.Client(base_url=url, headers=headers, follow_redirects=True) as client:

        def front_page() -> httpx.Response | None:
            try:
                return client.get("/")
            except httpx.TransportError:
                return None

        page = until(front_page, 60, home.log_of("up").read_text)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "hpsearch" in page.text
        assert client.get("/dashboard/").status_code == 200

    up.send_signal(signal.SIGINT)
    up.wait(15)
    assert until(lambda: not home.living() or None, 5, "the last process to end")
