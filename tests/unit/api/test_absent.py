"""What SDKs may ask for and this server does not offer."""

import re

import pytest

from localai.api.absent import absent
from wire_rows import Routes
from wire_server import serving


@pytest.mark.parametrize(
    "path",
    [
        "/v1/assistants",
        "/assistants",
        "/v1/threads/t/runs",
        "/v1/fine_tuning/jobs",
        "/v1/containers/c/files",
        "/v1/videos",
    ],
)
def test_the_message_names_it(path):
    """The message names what is not offered and says why, or what to use."""
    error = absent(path)
    assert error is not None
    assert error.status == 404
    assert re.match(r"LocalAI does not offer `/v1/\w+`: .{10,}\.$", error.message)


@pytest.mark.parametrize("path", ["/", "", "/v1", "/v1/", "/nothing", "/v1/chatting", "/x/assistants"])
def test_other_paths_are_nothing_special(path):
    """Paths that no SDK has get the general message."""
    assert absent(path) is None


async def test_over_http():
    """Every method of such a path is the same JSON 404, in the shape of the dialect, with a key or without."""
    async with serving(Routes().rows()) as gateway:
        for method in ("GET", "POST", "DELETE"):
            got = await gateway.ask(method, "/v1/assistants/a", b"{}" if method == "POST" else None)
            assert (got.status, got.json()["error"]["code"]) == (404, "not_found")
            assert "`/v1/assistants`" in got.json()["error"]["message"]
        got = await gateway.ask("GET", "/v1/skills", headers={"anthropic-version": "2023-06-01"})
        assert got.json()["error"]["type"] == "not_found_error"
