"""The admin routes over a real socket, and who may use which of them."""

import json

import pytest

import managed
from localai.api import admin, operations
from localai.api.readiness import Readiness
from localai.observe.metrics import Metrics
from wire_server import KEYS, serving


@pytest.fixture
async def house(tmp_path):
    async with managed.house(tmp_path) as built:
        yield built


def _rows(house):
    return [*operations.rows(Readiness(), Metrics(), "1"), *admin.rows(house.manage)]


@pytest.fixture
async def gateway(house):
    async with serving(_rows(house)) as running:
        yield running


ADMIN = {"Authorization": "Bearer sk-admin"}

SPELLINGS = {
    "none": {},
    "empty": {"Authorization": ""},
    "wrong": {"Authorization": "Bearer sk-wrong"},
    **{
        f"{name} {key}": {header: form.format(key)}
        for key in KEYS
        for name, header, form in (
            ("bearer", "Authorization", "Bearer {}"),
            ("plain", "Authorization", "{}"),
            ("anthropic", "x-api-key", "{}"),
            ("azure", "api-key", "{}"),
            ("elevenlabs", "xi-api-key", "{}"),
        )
    },
}


def _expected(scope: str, headers: dict[str, str]) -> set[int]:
    """What a request may be answered: 401 (429 after many guesses), 403, or anything that the handler says."""
    passed = {200, 201, 204, 400, 404, 503}
    key = next(iter(headers.values()), "").split(" ")[-1]
    if scope == "public":
        return passed
    if key not in KEYS:
        return {401, 429} if key else {401}
    return passed if KEYS[key].scopes & {"admin", scope} else {403}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_every_route_and_credential(gateway, house, spelling):
    """Each route lets exactly the keys with its scope pass, in every spelling."""
    for row in _rows(house):
        path = row.path.replace("{name:path}", "nobody").replace("{id}", "nobody")
        body = b"{}" if row.method == "POST" else None
        got = await gateway.ask(row.method, path, body, SPELLINGS[spelling])
        assert got.status in _expected(row.scope, SPELLINGS[spelling]), (row.method, path)
        if got.status in {401, 403, 429} and path.startswith("/api/admin"):
            assert got.headers["content-type"] == "application/problem+json"


def test_every_admin_route_is_guarded(house):
    """No admin route is public."""
    assert {row.scope for row in admin.rows(house.manage)} == {"models", "admin"}


async def test_models(gateway):
    """Models are listed, shown whole, and removed."""
    listed = (await gateway.ask("GET", "/api/admin/models", headers=ADMIN)).json()["models"]
    assert [row["name"] for row in listed] == ["echo", "tiny"]
    assert (await gateway.ask("GET", "/api/admin/models/tiny", headers=ADMIN)).json()["file"]
    assert (await gateway.ask("DELETE", "/api/admin/models/echo", headers=ADMIN)).status == 204
    gone = await gateway.ask("GET", "/api/admin/models/echo", headers=ADMIN)
    assert gone.status == 404
    assert gone.json()["code"] == "model_not_found"
    assert gone.json()["request_id"] == gone.headers["x-request-id"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b", "x" * 3000, "%ff"])
async def test_hostile_names(gateway, name):
    """H23, H24: a name that cannot be a model's is a 400 or a 404, whatever it spells."""
    for method in ("GET", "DELETE"):
        got = await gateway.ask(method, f"/api/admin/models/{name}", headers=ADMIN)
        assert got.status in {400, 404}


async def test_load_and_unload(gateway):
    """Loading answers the model's row; unloading answers nothing."""
    loaded = await gateway.ask("POST", "/api/admin/load", b'{"model":"echo","keep_alive":60}', ADMIN)
    assert loaded.json()["state"] == "ready"
    rows = (await gateway.ask("GET", "/api/admin/loaded", headers=ADMIN)).json()
    assert [row["name"] for row in rows["models"]] == ["echo"]
    assert (await gateway.ask("GET", "/api/admin/status", headers=ADMIN)).json()["loaded"] == 1
    assert (await gateway.ask("POST", "/api/admin/unload", b'{"model":"echo"}', ADMIN)).status == 204
    wrong = await gateway.ask("POST", "/api/admin/load", b'{"model":"echo","keep_alive":"long"}', ADMIN)
    assert (wrong.status, wrong.json()["param"]) == (400, "keep_alive")


async def test_pull(gateway):
    """An installation answers lines of its progress; the last says how it ended."""
    got = await gateway.ask("POST", "/api/admin/pull", b'{"source":"nonsense:"}', ADMIN)
    assert got.headers["content-type"].startswith("application/x-ndjson")
    last = json.loads(got.body.splitlines()[-1])
    assert last["phase"] == "failed"
    assert last["error"]


async def test_keys(gateway):
    """A key is made with a secret, listed without it and revoked."""
    body = json.dumps({"name": "laptop", "scopes": ["infer"], "models": ["echo"], "expires": 60}).encode()
    made = await gateway.ask("POST", "/api/admin/keys", body, ADMIN)
    assert made.status == 201
    key = made.json()
    assert key["secret"].startswith("sk-")
    listed = (await gateway.ask("GET", "/api/admin/keys", headers=ADMIN)).json()["keys"]
    assert [row["id"] for row in listed] == [key["id"]]
    assert "secret" not in listed[0]
    assert (await gateway.ask("DELETE", f"/api/admin/keys/{key['id']}", headers=ADMIN)).status == 204
    assert (await gateway.ask("GET", "/api/admin/keys", headers=ADMIN)).json()["keys"] == []
