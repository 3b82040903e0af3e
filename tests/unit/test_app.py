"""The composition root."""

import asyncio
import http.client
import json
import stat
import sys
from pathlib import Path

import pytest

from localai.app import App
from localai.config import Settings
from localai.core.errors import Conflict, InvalidRequest, StorageFailed


def settings(home: Path, **given) -> Settings:
    return Settings(home=home, port=given.pop("port", 0), log_level="error", **given)


async def ask(url: str, path: str, key: str = "") -> int:
    def once() -> int:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        status = connection.getresponse().status
        connection.close()
        return status

    return await asyncio.to_thread(once)


async def test_a_server_starts_answers_and_stops(tmp_path: Path):
    """From an empty home the server is ready when start returns, and nobody listens after stop."""
    app = App(settings(tmp_path))
    url = await app.start()
    assert await ask(url, "/readyz") == 200
    assert await ask(url, "/v1/models", app.key) == 200
    assert await ask(url, "/v1/models") == 401
    await app.stop()
    with pytest.raises(OSError):
        await ask(url, "/readyz")


async def test_a_home_is_private(tmp_path: Path):
    """Folders are for their owner only, and so is the key."""
    app = App(settings(tmp_path / "home"))
    await app.start()
    await app.stop()
    for name in ("models", "blobs"):
        assert stat.S_IMODE((tmp_path / "home" / name).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "home" / "admin.key").stat().st_mode) == 0o600


async def test_the_key_stays(tmp_path: Path):
    """A second start uses the key of the first."""
    keys = []
    for _ in range(2):
        app = App(settings(tmp_path))
        await app.start()
        await app.stop()
        keys.append(app.key)
    assert keys[0] == keys[1]


async def test_a_taken_port_says_so_and_leaves_nothing(tmp_path: Path):
    """When the port is taken the start fails with the remedy, and another start works."""
    first = App(settings(tmp_path / "a"))
    url = await first.start()
    with pytest.raises(Conflict, match="--port"):
        await App(settings(tmp_path / "b", port=int(url.rsplit(":", 1)[1]))).start()
    await first.stop()
    again = App(settings(tmp_path / "b"))
    await again.start()
    await again.stop()


def test_an_open_server_stays_on_loopback(tmp_path: Path):
    """A server without keys refuses any address that other machines can reach."""
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(InvalidRequest, match="loopback"):
            App(settings(tmp_path, host=host, open=True))


async def test_an_open_server_needs_no_key(tmp_path: Path):
    """With `open` everything on loopback is allowed without a key."""
    app = App(settings(tmp_path, open=True))
    url = await app.start()
    assert await ask(url, "/v1/models") == 200
    await app.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are Unix")
async def test_a_key_that_others_can_read_is_refused(tmp_path: Path):
    """A key file with loose permissions stops the start with the remedy."""
    app = App(settings(tmp_path))
    await app.start()
    await app.stop()
    (tmp_path / "admin.key").chmod(0o644)
    with pytest.raises(StorageFailed, match="chmod 600"):
        await App(settings(tmp_path)).start()


async def test_the_description_lists_every_route(tmp_path: Path):
    """OpenAPI describes every route of the reference page."""
    app = App(settings(tmp_path))
    url = await app.start()

    def fetch() -> dict:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request("GET", "/openapi.json")
        return json.loads(connection.getresponse().read())

    paths = (await asyncio.to_thread(fetch))["paths"]
    await app.stop()
    page = (Path(__file__).parent.parent.parent / "docs" / "reference" / "routes.md").read_text()
    for path in paths:
        assert f"`{path}`".replace("}", "") in page.replace(":path", "").replace("}", "")
    assert "/v1/chat/completions" in paths
