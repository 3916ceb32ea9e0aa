"""What a preflight found, over HTTP and on the page."""

from datetime import UTC, datetime

from pydantic import TypeAdapter

from hpsearch.api import shapes
from hpsearch.client.decode import decode
from hpsearch.spec.findings import Finding, PreflightView, Severity
from hpsearch.spec.views import StudyView
from hpsearch.storage import studies
from hpsearch.studies.preflight import record_preflight
from tests.services.in_process import Http
from tests.studies import document

FOUND = PreflightView(
    "cpu",
    0.25,
    datetime(2026, 1, 1, tzinfo=UTC),
    (
        Finding("sizes", Severity.OK, "1,294 to train on", 144.0, "at least 30"),
        Finding("initial_loss", Severity.WARNING, "use <he>", float("inf"), "about 2.3"),
    ),
)


def test_findings_are_a_field_of_the_study_and_a_table_on_its_page(http: Http) -> None:
    http.post("/v1/studies", json=document("study"))
    before = http.get("/v1/studies/study").json()
    assert before["preflight"] is None
    assert "Preflight" not in http.get("/studies/study").text
    with http.database.read() as tx:
        uuid = studies.get_study(tx, "study").uuid

    record_preflight(http.database, uuid, FOUND)

    study = http.get("/v1/studies/study").json()
    TypeAdapter(shapes.Study).validate_python(study)
    assert study["warnings"] == ["preflight, initial_loss: use <he>"]
    assert study["preflight"]["findings"][1] == {
        "check": "initial_loss",
        "severity": "warning",
        "message": "use <he>",
        "measured": None,
        "expected": "about 2.3",
    }
    assert decode(StudyView, study).preflight == FOUND
    page = http.get("/studies/study").text
    assert "2 checks in 0.2 s on cpu, 1 with something to say" in page
    assert "use &lt;he&gt;" in page
    assert "1,294 to train on" in page
