"""Who gets in: tokens of the database, the login link, the cookie."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from hpsearch.storage.tables import tokens
from tests.services.in_process import ADMIN, Http, served
from tests.studies import document

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PAGES = ("/", "/studies/study", "/docs", "/dashboard/", "/nowhere")


def give(http: Http, token: str, scope: str, owner: str = "ann") -> None:
    row = {
        "sha256": hashlib.sha256(token.encode()).hexdigest(),
        "name": f"{owner}'s",
        "owner": owner,
        "scope": scope,
        "created_at": datetime.now(UTC),
    }
    with http.database.write() as tx:
        tx.execute(insert(tokens).values(**row))


def logged_in(http: Http) -> dict[str, str]:
    answer = http.get(f"/login?token={ADMIN}", token=None)
    return {"cookie": answer.headers["set-cookie"].split(";")[0], **BROWSER}


def test_the_servers_own_token_is_made_once_and_private(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "data" / "token"
    for _ in range(2):
        with served(sqlite_url, tmp_path / "data", token=None) as http:
            token = file.read_text().strip()
            assert http.get("/v1/studies", token=token).status_code == 200
            assert http.get("/v1/studies", token=token + "x").status_code == 401
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(token) >= 32


def test_a_token_of_the_database_gets_its_scope_and_owns_what_it_makes(http: Http) -> None:
    give(http, "read-me", "read", "ann")
    give(http, "write-me", "write", "bob")
    assert http.get("/v1/studies", token="read-me").status_code == 200
    refused = http.post("/v1/studies", token="read-me", json=document())
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    made = http.post("/v1/studies", token="write-me", json=document())
    assert (made.status_code, made.json()["owner"]) == (201, "bob")


@pytest.mark.parametrize("token", ["wrong", "", "x" * 5000, "a b", "%00", "\t"])
def test_a_token_nobody_has_is_refused(http: Http, token: str) -> None:
    answer = http.get("/v1/studies", token=token)
    assert answer.status_code == 401
    assert answer.json()["type"] == "/problems/unauthorized"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_login_link_leads_to_the_studies_with_a_cookie_no_script_reads(lite: Http) -> None:
    answer = lite.get(f"/login?token={ADMIN}", token=None)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert ADMIN not in cookie
    page = lite.get("/", token=None, headers=logged_in(lite))
    assert page.status_code == 200


def test_a_wrong_login_sets_no_cookie_and_says_so(lite: Http) -> None:
    answer = lite.get("/login?token=wrong", token=None, headers=BROWSER)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "not valid" in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_a_page_without_a_cookie_explains_how_to_log_in(lite: Http, path: str) -> None:
    page = lite.get(path, token=None, headers=BROWSER)
    assert page.status_code == 401
    assert page.headers["content-type"].startswith("text/html")
    assert "login link" in page.text


def test_a_script_gets_a_problem_where_a_person_gets_a_page(lite: Http) -> None:
    answer = lite.get("/", token=None)
    assert answer.headers["content-type"] == "application/problem+json"
    api = lite.get("/v1/studies", token=None, headers=BROWSER)
    assert api.headers["content-type"] == "application/problem+json"


def test_a_cookie_reads_and_writes_only_from_our_own_pages(lite: Http) -> None:
    headers = logged_in(lite)
    assert lite.get("/v1/studies", token=None, headers=headers).status_code == 200
    foreign = {**headers, "origin": "http://evil.example"}
    for refused in (headers, foreign):
        answer = lite.post("/v1/studies", token=None, headers=refused, json=document())
        assert answer.status_code == 403
    own = {**headers, "origin": "http://localhost:8000"}
    assert lite.post("/v1/studies", token=None, headers=own, json=document()).status_code == 201


def test_a_foreign_name_that_leads_here_carries_no_cookie_and_gets_nothing(lite: Http) -> None:
    headers = {"host": "rebound.example", "origin": "http://rebound.example"}
    assert lite.get("/v1/studies", token=None, headers=headers).status_code == 401
    answer = lite.get(f"/login?token={ADMIN}", token=None, headers=headers)
    assert answer.headers["location"] == "/"


OUR_PAGES = (
    "/",
    "/new",
    "/workers",
    "/datasets",
    "/docs",
    "/login",
    "/nowhere",
    "/studies/study",
    "/studies/study/trials",
    "/studies/study/definition",
    "/studies/study/plots",
    "/studies/study/compare",
    "/compare?study=study",
    "/new?from=study",
)


def test_pages_run_our_own_scripts_alone_and_are_never_framed(lite: Http) -> None:
    lite.post("/v1/studies", json=document())
    for path in OUR_PAGES:
        page = lite.get(path, headers=BROWSER)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        for script in re.findall("<script[^>]*>", page.text):
            assert re.fullmatch(
                r'<script type="(module" src="/assets/[0-9a-f]+/[a-z]+\.js|application/json" '
                r'id="page-data)">',
                script,
            )
        assert 'style="' not in page.text
        assert not re.search(r"<[^>]*\son[a-z]+=", page.text)
        assert not re.search(r'(src|href)="(https?:)?//', page.text)


def test_scripts_are_kept_by_browsers_for_as_long_as_they_are_the_same(lite: Http) -> None:
    page = lite.get("/").text
    address = re.search(r'src="(/assets/[^"]+)"', page)
    assert address is not None
    script = lite.get(address[1])
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    assert lite.get("/assets/old/studies.js").headers["cache-control"] == "private, no-cache"
    assert lite.get("/assets/old/app.css").status_code == 404
    tagged = {"if-none-match": script.headers["etag"]}
    assert lite.get(address[1], headers=tagged).status_code == 304


def test_what_users_wrote_is_text_on_the_pages(lite: Http) -> None:
    evil = "<script>alert(1)</script><!-- \"'>{{ 7*7 }}"
    lite.post("/v1/studies", json=document(description=evil, tags=["<b>"]))
    for path in OUR_PAGES:
        page = lite.get(path, headers=BROWSER).text
        assert "<script>alert" not in page
        assert "</script><!--" not in page
    page = lite.get("/studies/study").text
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page


def test_a_token_that_only_reads_sees_no_buttons(lite: Http) -> None:
    lite.post("/v1/studies", json=document())
    assert 'data-verb="pause"' in lite.get("/studies/study").text
    give(lite, "read-me", "read")
    page = lite.get("/studies/study", token="read-me")
    assert page.status_code == 200
    assert "data-verb" not in page.text


def test_a_missing_study_is_a_page_for_a_person(lite: Http) -> None:
    page = lite.get("/studies/nobody", headers=BROWSER)
    assert page.status_code == 404
    assert "no study named" in page.text


@pytest.mark.parametrize("path", ["/v1/studies", "/", "/healthz", "/nowhere", "/api/meta"])
def test_every_answer_is_safe_to_receive(lite: Http, path: str) -> None:
    answer: httpx.Response = lite.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers["x-request-id"]) == 32
