"""Data sets over HTTP: uploads of every kind, friendly and hostile."""

import errno
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
from pydantic import TypeAdapter

from hpsearch.api import shapes
from hpsearch.storage.schema import upgrade
from tests.services.diabetes import write_diabetes
from tests.services.in_process import ADMIN, Http, served
from tests.studies import document

CSV = {"content-type": "text/csv"}
NPZ = {"content-type": "application/x-npz"}
TABLE = "rooms,city,price\n1,Oslo,10.5\n2,Rome,20.25\n3,Oslo,31\n4,Bergen,39.5\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    """One server that takes no more than four megabytes, for all that is refused."""
    folder = tmp_path_factory.mktemp("small")
    url = f"sqlite:///{folder / 'hpsearch.db'}"
    upgrade(url)
    with served(url, folder / "data", max_dataset_mb=4) as http:
        yield http


def put(http: Http, name: str, body: str | bytes, query: str = "", **headers: str) -> Any:
    kind = NPZ if isinstance(body, bytes) else CSV
    return http.send(
        "PUT", f"/v1/datasets/{name}{query}", content=body, headers={**kind, **headers}
    )


def packed(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def errors(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/problems/request-invalid"
    found: list[dict[str, Any]] = answer.json()["errors"]
    return found


def left_over(http: Http) -> list[Path]:
    """Return what lies in the folder of uploads."""
    return sorted((http.app.state.services.artifacts_dir / "datasets").glob("*"))


def test_a_table_is_understood_shown_and_listed(http: Http) -> None:
    answer = put(http, "housing", TABLE)

    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/v1/datasets/housing"
    made = answer.json()
    TypeAdapter(shapes.Dataset).validate_python(made)
    assert (made["task"], made["input_shape"], made["n_examples"]) == ("regression", [4], 4)
    assert made["columns"] == [
        {"name": "rooms", "kind": "number"},
        {"name": "city", "kind": "category", "values": ["Bergen", "Oslo", "Rome"]},
        {"name": "price", "kind": "target"},
    ]
    assert http.get("/v1/datasets/housing").json() == made
    listed = http.get("/v1/datasets").json()
    assert [one["name"] for one in listed["datasets"]] == [
        "digits",
        "fashion_mnist",
        "housing",
        "mnist",
    ]
    assert listed["datasets"][2] == {**made, "columns": []}
    (folder,) = left_over(http)
    assert np.load(folder / "x_train.npy").tolist() == [
        [1, 0, 1, 0],
        [2, 0, 0, 1],
        [3, 0, 1, 0],
        [4, 1, 0, 0],
    ]


def test_pages_of_the_list_hold_every_data_set_once(lite: Http) -> None:
    put(lite, "a-table", TABLE)
    names, token = [], ""
    while token is not None:
        page = lite.get(f"/v1/datasets?limit=1&page_token={token}").json()
        names += [one["name"] for one in page["datasets"]]
        token = page["next_page_token"]
    assert names == ["a-table", "digits", "fashion_mnist", "mnist"]
    assert lite.get("/v1/datasets?page_token=../etc").status_code == 422


def test_the_same_upload_again_is_the_same_and_any_other_is_refused(http: Http) -> None:
    first = put(http, "housing", TABLE).json()

    again = put(http, "housing", TABLE)
    assert (again.status_code, again.json()) == (200, first)
    for other in (
        put(http, "housing", TABLE + "5,Oslo,1\n"),
        put(http, "housing", TABLE, "?target=rooms"),
        put(http, "housing", TABLE, "?task=regression"),
    ):
        assert (other.status_code, other.json()["type"]) == (409, "/problems/name-taken")
    assert len(left_over(http)) == 1


def test_a_name_of_the_installation_is_neither_taken_nor_deleted(small: Http) -> None:
    assert put(small, "digits", TABLE).status_code == 409
    assert small.send("DELETE", "/v1/datasets/digits").status_code == 409
    assert small.get("/v1/datasets/digits").json()["source"] == "built_in"


@pytest.mark.parametrize("name", ["Housing", "-x", "a" * 64, "a b", "..", "a%00"])
def test_a_name_that_no_data_set_can_have_is_refused(small: Http, name: str) -> None:
    assert put(small, name, TABLE).status_code in {404, 422}
    assert small.get(f"/v1/datasets/{name}").status_code in {200, 404}  # `..` is the list
    assert left_over(small) == []


def test_two_uploads_of_one_name_at_once_make_one_data_set(http: Http) -> None:
    bodies = [TABLE, TABLE, TABLE, TABLE.replace("10.5", "11.5")]
    answers: list[httpx.Response] = []

    async def upload(client: httpx.AsyncClient, body: str) -> None:
        answers.append(await client.put("/v1/datasets/race", content=body, headers=CSV))

    async def race() -> None:
        headers = {"authorization": f"Bearer {ADMIN}"}
        async with (
            httpx.AsyncClient(
                transport=httpx.ASGITransport(http.app), base_url="http://t", headers=headers
            ) as client,
            anyio.create_task_group() as group,
        ):
            for body in bodies:
                group.start_soon(upload, client, body)

    anyio.run(race)

    codes = sorted(answer.status_code for answer in answers)
    assert codes in ([200, 200, 201, 409], [201, 409, 409, 409])
    assert len(left_over(http)) == 1
    made = http.get("/v1/datasets/race").json()
    assert {answer.json()["sha256"] for answer in answers if answer.is_success} == {made["sha256"]}


def test_a_data_set_in_use_stays_until_its_studies_are_gone(http: Http) -> None:
    put(http, "housing", TABLE)
    study = document("needs-it", dataset={"name": "housing"})
    assert http.post("/v1/studies", json=study).status_code == 201
    assert http.get("/v1/datasets/housing").json()["used_by"] == ["needs-it"]

    refused = http.send("DELETE", "/v1/datasets/housing")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/in-use")
    assert "needs-it" in refused.json()["detail"]

    http.post("/v1/studies/needs-it:cancel")
    assert http.send("DELETE", "/v1/datasets/housing").status_code == 409
    assert http.send("DELETE", "/v1/studies/needs-it").status_code == 204
    assert http.send("DELETE", "/v1/datasets/housing").status_code == 204
    assert http.send("DELETE", "/v1/datasets/housing").status_code == 404
    assert http.post("/v1/studies", json=study).status_code == 422
    assert left_over(http) == []


def test_the_grammar_knows_an_upload_as_soon_as_it_is_there(lite: Http) -> None:
    study = document("on-it", dataset={"name": "housing"}, objectives=[{"metric": "val_rmse"}])
    assert "housing" in errors_of_definition(lite, study)
    put(lite, "housing", TABLE)
    assert lite.post("/v1/studies:validate", json=study).status_code == 200
    assert "housing" in lite.get("/v1/schema").text
    accuracy = {**study, "objectives": [{"metric": "val_accuracy"}]}
    assert "regression" in errors_of_definition(lite, accuracy)


def errors_of_definition(http: Http, study: dict[str, Any]) -> str:
    answer = http.post("/v1/studies:validate", json=study)
    assert answer.status_code == 422
    return answer.text


def test_more_batch_than_data_is_a_warning(lite: Http) -> None:
    put(lite, "housing", TABLE)
    study = document("on-it", dataset={"name": "housing"}, objectives=[{"metric": "val_rmse"}])
    (warning,) = lite.post("/v1/studies:validate", json=study).json()["warnings"]
    assert warning.startswith("training.batch_size: 64 is more than the 2 examples")


@pytest.mark.parametrize(
    ("body", "loc", "line", "words"),
    [
        ("a,b\n1,2\n,4\n5,6\n", "a", 3, "empty"),
        ('a,b\n1,"x\ny"\n , z\n', "a", 4, "empty"),
        ("a,b\n1,2\n3,4,5\n5,6\n", "file", 3, "3 cells, the header has 2"),
        ("a,b\n1,2\nNA,4\n5,6\n", "a", 3, "text here and a number in 2 other rows"),
        ("a,b\n1,2\n1e999,4\n5,6\n", "a", 3, "too large"),
        ("a,b\n1,2\n1_000,4\n5,6\n", "a", 3, "text here and a number in 2 other rows"),
        ("a,a\n1,2\n", "a", 1, "name of 2 columns"),
        ("a,\n1,2\n", "file", 1, "empty or endless name"),
        ("1,2\n3,4\n5,6\n", "file", 1, "header"),
        ("a;b\n1;2\n", "file", 1, "separated by ';'"),
        ('a,b\n1,"2\n3,4\n', "file", 3, "no CSV"),
        ("a,b\n1,2\n", "file", None, "at least 3"),
        ("", "file", None, "empty"),
        ("a,b\n1,x\n2,x\n3,x\n", "b", None, "one class"),
        ("a,b\n1,2.5\n2,2.5\n3,2.5\n", "b", None, "2.5 in every row"),
        ("a,b\n1,2\n2,\x003\n", "file", 3, "NUL"),
    ],
)
def test_a_table_that_cannot_be_used_names_column_and_line(
    small: Http, body: str, loc: str, line: int | None, words: str
) -> None:
    error = errors(put(small, "bad", body))[0]
    assert (error["loc"], error.get("line")) == ([loc], line), error
    assert words in error["msg"]
    assert left_over(small) == []


def test_all_empty_cells_are_told_at_once(small: Http) -> None:
    found = errors(put(small, "bad", "a,b\n1,\n,2\n,\n"))
    assert [(error["loc"][0], error["line"]) for error in found] == [
        ("b", 2),
        ("a", 3),
        ("a", 4),
        ("b", 4),
    ]


def test_a_table_that_is_not_utf_8_names_the_line(small: Http) -> None:
    answer = small.send(
        "PUT", "/v1/datasets/bad", content="a,b\n1,2\né,3\n".encode("latin-1"), headers=CSV
    )
    assert errors(answer)[0]["line"] == 3


def test_the_target_may_be_any_column_and_the_task_follows_from_it(lite: Http) -> None:
    made = put(lite, "cities", TABLE, "?target=city").json()
    assert (made["task"], made["outputs"]) == ("classification", ["Bergen", "Oslo", "Rome"])
    assert made["warnings"][0].startswith("3 of 3 classes have fewer than three examples")
    forced = put(lite, "rooms", TABLE, "?target=rooms&task=classification").json()
    assert forced["outputs"] == ["1", "2", "3", "4"]
    missing = errors(put(lite, "other", TABLE, "?target=pirce"))[0]
    assert "did you mean 'price'" in missing["msg"]
    assert put(lite, "other", TABLE, "?task=ranking").status_code == 422
    assert put(lite, "other", TABLE, "?taks=regression").status_code == 422


@pytest.mark.parametrize(
    ("shape", "dtype"), [((9, 5), "f4"), ((9, 4, 6), "u1"), ((9, 7, 3), ">f8"), ((9, 2), "?")]
)
def test_an_archive_keeps_shapes_and_bytes(http: Http, shape: tuple[int, ...], dtype: str) -> None:
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    made = put(http, "arrays", packed(x=np.asfortranarray(x), y=np.arange(9) % 3)).json()

    assert (made["input_shape"], made["n_outputs"]) == (list(shape[1:]), 3)
    (folder,) = left_over(http)
    stored = np.load(folder / "x_train.npy")
    np.testing.assert_array_equal(stored, x)
    assert (stored.dtype == np.uint8) == (dtype == "u1")


def test_an_archive_may_bring_its_own_test_split_and_named_classes(lite: Http) -> None:
    body = packed(
        x_train=np.zeros((4, 2)), y_train=["cat", "dog", "cat", "dog"],
        x_test=np.ones((2, 2)), y_test=["dog", "cat"],
    )  # fmt: skip
    made = put(lite, "pets", body).json()
    assert made["has_test_split"]
    assert made["outputs"] == ["cat", "dog"]
    study = document("x", dataset={"name": "pets", "test_fraction": 0.5})
    assert "test split of its own" in errors_of_definition(lite, study)


def test_several_targets_make_a_regression(lite: Http) -> None:
    made = put(lite, "two", packed(x=np.zeros((5, 2)), y=np.random.rand(5, 2))).json()
    assert (made["task"], made["n_outputs"]) == ("regression", 2)


def tampered(header: str, data: bytes = b"\x00" * 64, version: bytes = b"\x01\x00") -> bytes:
    """Return an npz whose x has the header as written here."""
    text = header.encode("latin-1")
    member = b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data
    file = io.BytesIO(packed(y=np.arange(4)))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("x.npy", member)
    return file.getvalue()


def bomb(n_bytes: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y.npy", bytes(n_bytes))
        archive.writestr("x.npy", b"")
    return file.getvalue()


def crowd(n: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(n):
            archive.writestr(f"{number:060d}", b"")
    return file.getvalue()


GOOD = packed(x=np.zeros((4, 2)), y=np.arange(4) % 2)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"PK\x03\x04 no archive at all", "no npz", id="nonsense"),
        pytest.param(b"", "no npz", id="empty"),
        pytest.param(GOOD[:-30], "no npz", id="cut-off"),
        pytest.param(GOOD[:60] + b"\xff" * 8 + GOOD[68:], "", id="damaged"),
        pytest.param(packed(x=np.zeros((4, 2)), z=np.zeros(4)), "must hold x and y", id="names"),
        pytest.param(packed(x=np.zeros((4, 2))), "must hold x and y", id="no-targets"),
        pytest.param(packed(x=np.zeros((4, 2)), y=np.arange(3)), "one row for each", id="lengths"),
        pytest.param(packed(x=np.zeros(4), y=np.arange(4)), "must have the shape", id="flat"),
        pytest.param(packed(x=np.float64(1), y=np.arange(4)), "must have the shape", id="scalar"),
        pytest.param(
            packed(x=np.zeros((4, 2, 2, 2)), y=np.arange(4)), "must have the shape", id="deep"
        ),
        pytest.param(
            packed(x=np.array([[object()]] * 4), y=np.arange(4)), "Python objects", id="pickle"
        ),
        pytest.param(
            packed(x=np.zeros((4, 2), "c16"), y=np.arange(4)), "64 bits", id="complex"
        ),
        pytest.param(packed(x=np.zeros(4, "f4,i4"), y=np.arange(4)), "records", id="records"),
        pytest.param(packed(x=np.zeros((0, 2)), y=np.zeros(0)), "empty", id="no-examples"),
        pytest.param(
            packed(x=np.array([[1.0], [np.nan], [2], [3]]), y=np.arange(4)), "[1, 0]", id="nan"
        ),
        pytest.param(
            packed(x=np.zeros((4, 2)), y=np.array([1, 2, np.inf, 3])), "holds inf", id="inf"
        ),
        pytest.param(packed(x=np.zeros((4, 2)), y=np.zeros(4, int)), "one class", id="one-class"),
        pytest.param(
            tampered("{'descr': '<f8', 'fortran_order': False, 'shape': (2**40, 2), }\n"),
            "no plain NumPy array",
            id="expression",
        ),
        pytest.param(
            tampered("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 9), }\n"),
            "announces",
            id="huge-shape",
        ),
        pytest.param(
            tampered("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8), }\n"),
            "",
            id="negative-shape",
        ),
        pytest.param(tampered("(" * 5000 + "\n"), "no plain NumPy array", id="nested-header"),
        pytest.param(
            tampered("{'descr': '<f8'" + " " * 40_000 + "}\n"), "no plain", id="long-header"
        ),
        pytest.param(tampered("{}", version=b"\x03\x00"), "no plain", id="version"),
        pytest.param(bomb(40 * 1024**2), "unpacks to", id="bomb"),
        pytest.param(crowd(12_000), "directory is too large", id="crowd"),
    ],
)  # fmt: skip
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    small: Http, body: bytes, words: str
) -> None:
    (error, *_) = errors(put(small, "bad", body))
    assert words in error["msg"]
    assert left_over(small) == []
    assert small.get("/v1/datasets/bad").status_code == 404


def test_an_upload_has_a_limit_whatever_it_announces(small: Http) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"1,2\n" * 10_000

    async def chunks() -> Any:
        for chunk in endless():
            yield chunk

    for content in (b"a,b\n" + b"1,2\n" * 2**20, chunks()):
        answer = small.send("PUT", "/v1/datasets/big", content=content, headers=CSV)
        assert (answer.status_code, answer.json()["limit_bytes"]) == (413, 4 * 1024**2)
    assert left_over(small) == []
    assert small.post("/v1/studies", content=b"{" * 2**21).status_code in {413, 415}


def test_categories_that_would_fill_the_memory_are_refused(small: Http) -> None:
    rows = "".join(f"c{i % 900},{i}.5\n" for i in range(9000))
    assert "as an array of 9,000 x 900" in errors(put(small, "wide", f"a,b\n{rows}"))[0]["msg"]
    ids = "".join(f"id{i},{i}.5\n" for i in range(1500))
    assert "tells rows apart" in errors(put(small, "ids", f"a,b\n{ids}"))[0]["msg"]


@pytest.mark.parametrize(
    "where", ["hpsearch.datasets.stored.os.posix_fallocate", "pathlib.Path.open"]
)
def test_a_full_disk_is_told_and_leaves_nothing(
    lite: Http, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        answer = put(lite, "housing", TABLE)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert "No space left on device" in answer.json()["detail"]
    assert left_over(lite) == []
    assert put(lite, "housing", TABLE).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "text/csv; charset=latin-1"},
        {"content-type": "text/csv", "content-encoding": "gzip"},
        {"content-type": "application/octet-stream"},
    ],
)
def test_other_types_are_refused(small: Http, headers: dict[str, str]) -> None:
    answer = small.send("PUT", "/v1/datasets/x", content=TABLE, headers=headers)
    assert answer.status_code == 415


def test_an_upload_needs_a_token_that_may_write(small: Http) -> None:
    assert small.send("PUT", "/v1/datasets/x", content=TABLE, token=None).status_code == 401


def test_a_real_table_goes_in(http: Http, tmp_path: Path) -> None:
    body = write_diabetes(tmp_path / "housing.csv").read_text()
    made = put(http, "housing", body, "?target=price&task=regression").json()
    assert (made["input_shape"], made["n_examples"]) == ([12], 442)
