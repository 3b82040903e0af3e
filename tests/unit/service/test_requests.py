"""Files of requests: read in any pieces, within bounds, with every mistake at its line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localai.service import requests as module
from localai.service.requests import Requests
from storing import pieces

URL = "/v1/chat/completions"


def line(name: str, **other: object) -> bytes:
    return json.dumps({"custom_id": name, "method": "POST", "url": URL, "body": {"n": name}, **other}).encode()


async def checked(data: bytes, size: int = 1000):
    requests = Requests(URL)
    found = [request async for group in requests.read(pieces(data, size)) for request in group]
    return found, [(mistake.line, mistake.code) for mistake in requests.mistakes]


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 400), ending=st.sampled_from([b"", b"\n", b"\n\n", b"\r\n"]))
async def test_pieces_do_not_matter(size: int, ending: bytes):
    """However a file comes, its requests are the same, with the numbers of their lines; empty lines do not count."""
    data = b"\n".join((line("a"), b"", line("b"), b"  ", line("c\u2028"))) + ending
    found, mistakes = await checked(data, size)
    assert [(number, name) for number, name, _ in found] == [(1, "a"), (3, "b"), (5, "c\u2028")]
    assert [json.loads(body) for _, _, body in found] == [{"n": "a"}, {"n": "b"}, {"n": "c\u2028"}]
    assert mistakes == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"\xff\xfe", "invalid_json_line"),
        (b"[" * 100_000, "invalid_json_line"),
        (b'"text"', "invalid_json_line"),
        (line(""), "invalid_custom_id"),
        (line("x" * 513), "invalid_custom_id"),
        (line("a", custom_id=7), "invalid_custom_id"),
        (line("a", method="post"), "invalid_method"),
        (line("a", url="/v1/other"), "mismatched_url"),
        (line("a", body=None), "invalid_body"),
        (line("a", body=[]), "invalid_body"),
    ],
)
async def test_mistakes(text: bytes, code: str):
    """Whatever is wrong with a line is told by a code with its number, and no request of the file is given."""
    found, mistakes = await checked(text + b"\n" + line("later"))
    assert mistakes == [(1, code)]
    assert found == []


async def test_a_name_is_used_once(monkeypatch: pytest.MonkeyPatch):
    """A second use of a `custom_id` is told wherever in the file it is."""
    monkeypatch.setattr(module, "_BLOCK", 2)
    _, mistakes = await checked(b"\n".join(line(str(number % 5)) for number in range(7)))
    assert mistakes == [(6, "duplicate_custom_id"), (7, "duplicate_custom_id")]


async def test_bounds(monkeypatch: pytest.MonkeyPatch):
    """Too long a line, too many lines, too many mistakes and no line at all each end the reading."""
    monkeypatch.setattr(module, "LINE", 200)
    _, mistakes = await checked(line("a") + b"\n" + b"x" * 100_000 + b"\n" + line("b"), 7)
    assert mistakes == [(2, "line_too_long")]
    monkeypatch.setattr(module, "LINES", 3)
    assert (await checked(b"\n".join(map(line, "abc"))))[1] == []
    assert (await checked(b"\n".join(map(line, "abcd"))))[1] == [(None, "too_many_tasks")]
    monkeypatch.setattr(module, "LINES", 3000)
    assert len((await checked(b"x\n" * 2000))[1]) == module.MISTAKES
    assert (await checked(b""))[1] == [(None, "empty_file")]
    assert (await checked(b"\n \n"))[1] == [(None, "empty_file")]
