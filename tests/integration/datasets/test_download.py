"""Downloads from a real server on this machine: checked, whole, once, from the next mirror."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hpsearch.datasets.fashion_mnist import FashionMnist
from hpsearch.datasets.images import ImageSource
from hpsearch.datasets.mnist import SOURCE, Mnist
from hpsearch.errors import DatasetUnavailable
from tests.services.idx import write_tiny_mnist


class Mirror:
    """Serves a folder and remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        mirror = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                super().do_GET()

            def log_message(self, *_args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Mirror"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return write_tiny_mnist(tmp_path / "published", n_train=40, n_test=20) / "mnist"


@pytest.fixture
def mirror(published: Path) -> Iterator[Mirror]:
    with Mirror(published).running() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "datasets"


def source(published: Path, *mirrors: str, name: str = "mnist") -> ImageSource:
    return ImageSource(
        name,
        mirrors,
        {
            plain: hashlib.sha256((published / f"{plain}.gz").read_bytes()).hexdigest()
            for plain in SOURCE.sha256
        },
    )


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name != ".download.lock")


def test_absent_files_are_downloaded_and_found_the_next_time(
    mirror: Mirror, published: Path, folder: Path
) -> None:
    where = source(published, mirror.url)
    arrays = Mnist().load(folder, where)
    assert arrays.x_train.shape == (40, 28, 28)
    assert files(folder / "mnist") == sorted(f"{name}.gz" for name in SOURCE.sha256)
    n_asked = len(mirror.asked)
    Mnist().load(folder, where)
    assert len(mirror.asked) == n_asked == 4


def test_only_what_is_absent_is_downloaded(mirror: Mirror, published: Path, folder: Path) -> None:
    (folder / "fashion_mnist").mkdir(parents=True)
    name = "train-images-idx3-ubyte.gz"
    (folder / "fashion_mnist" / name).write_bytes((published / name).read_bytes())
    FashionMnist().load(folder, source(published, mirror.url, name="fashion_mnist"))
    assert len(mirror.asked) == 3


def test_a_mirror_that_is_down_or_has_nothing_is_passed_over(
    mirror: Mirror, published: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with Mirror(tmp_path / "empty").running() as empty:
        where = source(published, "http://127.0.0.1:1", empty.url, mirror.url)
        assert len(Mnist().load(folder, where).x_train) == 40
        assert len(empty.asked) == 4


@pytest.mark.parametrize("content", [b"", b"<html>login first</html>", b"x" * 100_000])
def test_a_file_with_another_checksum_is_thrown_away_and_the_next_mirror_asked(
    content: bytes, mirror: Mirror, published: Path, folder: Path, tmp_path: Path
) -> None:
    liar = tmp_path / "liar"
    liar.mkdir()
    for plain in SOURCE.sha256:
        (liar / f"{plain}.gz").write_bytes(content)
    with Mirror(liar).running() as lying:
        where = source(published, lying.url, mirror.url)
        assert len(Mnist().load(folder, where).x_train) == 40


def test_when_no_mirror_helps_nothing_is_left_behind_and_each_is_blamed(
    mirror: Mirror, published: Path, folder: Path
) -> None:
    (published / "t10k-labels-idx1-ubyte.gz").write_bytes(b"changed after it was published")
    where = ImageSource("mnist", ("ftp://old.example", mirror.url), SOURCE.sha256)
    with pytest.raises(DatasetUnavailable) as caught:
        Mnist().load(folder, where)
    assert "ftp://old.example/train-images-idx3-ubyte.gz: not an http address" in str(caught.value)
    assert "wrong checksum" in str(caught.value)
    assert "Put these files into" in str(caught.value)
    assert files(folder / "mnist") == []


def test_an_endless_answer_is_cut_off(
    mirror: Mirror, published: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpsearch.datasets.images._MAX_DOWNLOAD_BYTES", 100)
    with pytest.raises(DatasetUnavailable, match="longer than the 100 bytes expected"):
        Mnist().load(folder, source(published, mirror.url))


def test_two_at_once_download_each_file_once(
    mirror: Mirror, published: Path, folder: Path
) -> None:
    where = source(published, mirror.url)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: Mnist().load(folder, where), range(4)))
    assert [len(arrays.x_train) for arrays in loaded] == [40] * 4
    assert len(mirror.asked) == 4
