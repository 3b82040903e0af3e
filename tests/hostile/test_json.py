"""JSON that is meant to hurt, sent to a real server."""

import json

import pytest

from wire_rows import Routes
from wire_server import serving


@pytest.fixture
async def gateway():
    async with serving(Routes().rows()) as running:
        yield running


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"items":' + b"[" * 65 + b"]" * 65 + b"}",
        (b'{"text":"' + b"]" * 200 + b'","items":') + b"[" * 100 + b"]" * 100 + b"}",
    ],
)
async def test_depth(gateway, body):
    """H11: nesting of any depth is a 400, and the server lives."""
    got = await gateway.ask("POST", "/v1/echo", body)
    assert got.status == 400
    assert got.json()["error"]["code"] == "invalid_json"
    assert (await gateway.ask("GET", "/v1/hello")).status == 200


@pytest.mark.parametrize(
    "value",
    [
        b"9" * 1_000_000,
        b"18446744073709551616",
        b"-9223372036854775809",
        b"1e999",
        b"-1e999",
        b"9" * 400 + b".0",
        b"NaN",
        b"Infinity",
        b"-Infinity",
    ],
)
async def test_numbers(gateway, value):
    """H12: a number that fits into no machine is a 400."""
    assert (await gateway.ask("POST", "/v1/echo", b'{"other":' + value + b"}")).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"text":"a","text":"b"}',
        b'{"text":"a","te\\u0078t":"b"}',
        b'{"other":{"x":1,"x":1}}',
        json.dumps({str(number): 0 for number in range(100_000)}).encode(),
    ],
)
async def test_names(gateway, body):
    """H12: a name given twice, or more names than any request has, is a 400."""
    assert (await gateway.ask("POST", "/v1/echo", body)).status == 400


@pytest.mark.parametrize(
    "text", [b"\\ud800", b"\\udc00", b"\\ud800\\ud800", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"]
)
async def test_bad_text(gateway, text):
    """H13: half a surrogate pair and bytes that are not UTF-8 are a 400."""
    assert (await gateway.ask("POST", "/v1/echo", b'{"text":"' + text + b'"}')).status == 400


@pytest.mark.parametrize("text", ["\x00", "\u202e abc \u202c", "\ufeff", "e\u0301", "\U0001f600", "\\ud800", "\uffff"])
async def test_strange_text(gateway, text):
    """H13: whatever is a character is carried exactly."""
    got = await gateway.ask("POST", "/v1/echo", json.dumps({"text": text}).encode())
    assert got.json()["text"] == text


async def test_byte_order_mark(gateway):
    """H13: a byte order mark before the body is skipped."""
    assert (await gateway.ask("POST", "/v1/echo", b'\xef\xbb\xbf{"text":"a"}')).json()["text"] == "a"


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"[]", b"null", b'"text"', b"5", b"{", b"{}{}", b"{'text':'a'}", b"{text:1}"]
)
async def test_not_an_object(gateway, body):
    """A body that is not one JSON object is a 400."""
    assert (await gateway.ask("POST", "/v1/echo", body)).status == 400


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"text":{}}', "text"),
        (b'{"items":{}}', "items"),
        (b'{"items":["a",1]}', "items.1"),
        (b'{"items":[null]}', "items.0"),
        (b'{"number":[]}', "number"),
        (b'{"number":1.5}', "number"),
    ],
)
async def test_wrong_types(gateway, body, param):
    """H14: a known field of a wrong type is a 400 that names the field."""
    got = await gateway.ask("POST", "/v1/echo", body)
    assert got.status == 400
    assert got.json()["error"]["param"] == param


async def test_large_body(gateway):
    """A body of megabytes is parsed aside and answered like any other."""
    text = "word \U0001f600 " * 200_000
    got = await gateway.ask("POST", "/v1/echo", json.dumps({"text": text}).encode())
    assert got.json()["text"] == text
