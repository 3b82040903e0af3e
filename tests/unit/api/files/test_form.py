"""Forms: the same in whatever pieces they come, bounded, and never more than one file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from localai.api.files.form import FIELDS, Form
from localai.core.errors import InvalidRequest, UnsupportedMediaType
from posting import BOUNDARY, form

KIND = f"multipart/form-data; boundary={BOUNDARY}"


def asked(data: bytes, size: int = 1000, kind: str = KIND) -> Request:
    """A request whose body comes in pieces of that size."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    last = len(pieces) - 1
    messages = iter(
        [{"type": "http.request", "body": piece, "more_body": at < last} for at, piece in enumerate(pieces)]
    )

    async def receive():
        return next(messages)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", kind.encode())]}
    return Request(scope, receive)


async def read(data: bytes, size: int = 1000):
    """File name, file and fields."""
    got = Form(asked(data, size), "file")
    content = b"".join([piece async for piece in got.file()])
    return got.filename, content, await got.rest()


@settings(max_examples=100, deadline=None)
@given(size=st.integers(1, 300), data=st.binary(max_size=200), before=st.booleans())
async def test_pieces_do_not_matter(size: int, data: bytes, before: bool):
    """However a form comes, its file has the bytes that were sent, and the fields before and behind it are known."""
    tricky = data + b"\r\n--" + BOUNDARY.encode()[:-1] + data
    fields = [("purpose", "batch"), ("größe", "ü")]
    parts = [*fields, ("file", tricky, "a b")] if before else [("file", tricky, "a b"), *fields]
    assert await read(form(*parts), size) == ("a b", tricky, dict(fields))


async def test_the_order_of_fields_is_free():
    """Fields may stand on both sides of the file, and a later one of the same name counts."""
    told = form(("a", "1"), ("file", b"x", "n"), ("b", "2"), ("a", "3"))
    assert await read(told) == ("n", b"x", {"a": "3", "b": "2"})


async def test_a_file_may_be_empty_and_without_a_name():
    """An empty file, or one whose part tells no name, is a file."""
    assert await read(form(("file", b"", "n"))) == ("n", b"", {})
    assert await read(form(("file", b"x"))) == ("", b"x", {})


async def test_what_comes_behind_the_end_is_nothing():
    """Bytes behind the last boundary are thrown away."""
    assert await read(form(("file", b"x", "n")) + b"more" * 100) == ("n", b"x", {})


@pytest.mark.parametrize("size", [1, 17, 10_000])
async def test_a_form_that_is_cut(size: int):
    """A form that ends anywhere before its last boundary is refused, never taken for a whole one."""
    whole = form(("purpose", "batch"), ("file", b"data" * 10, "n"), ("b", "2"))
    for end in range(len(whole) - 4):
        with pytest.raises(InvalidRequest):
            await read(whole[:end], size)


async def test_bounds():
    """Fields have a number and a length, and a refusal comes before all of the form was read."""
    with pytest.raises(InvalidRequest, match=f"more than {FIELDS} fields"):
        await read(form(*((f"f{number}", "") for number in range(FIELDS + 1)), ("file", b"x", "n")))
    with pytest.raises(InvalidRequest, match="more than 8192 bytes"):
        await read(form(("file", b"x", "n"), ("a", "y" * 8193)))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("", UnsupportedMediaType),
        ("text/plain", UnsupportedMediaType),
        ("multipart/form-data; boundary", InvalidRequest),
        ('multipart/form-data; boundary=""', InvalidRequest),
        ("multipart/form-data; boundary=" + "x" * 201, InvalidRequest),
    ],
)
def test_what_is_no_form(kind: str, expected: type[Exception]):
    """Another content type is a 415, a form without a usable boundary a 400."""
    with pytest.raises(expected) as raised:
        Form(asked(b"", kind=kind), "file")
    assert raised.type is expected
