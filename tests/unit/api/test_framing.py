"""Heads and bodies, cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.api.framing import Chunked, Fixed, Head, Limits
from localai.core.errors import HeadTooLarge, MalformedRequest, TooManyChunks

LIMITS = Limits(head_bytes=1000, head_fields=10, chunks=5)
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"


@given(st.lists(st.integers(1, 20), max_size=20), st.binary(max_size=20))
def test_head_in_pieces(cuts, rest):
    """A head is found wherever the bytes are cut, and what follows it is left alone."""
    head, data, found = Head(LIMITS), HEAD + rest, None
    for cut in [*cuts, len(data)]:
        found, left = head.take(data[:cut])
        data = data[cut:]
        if found is not None:
            assert found == HEAD
            assert left + data == rest
            return
    pytest.fail("the head was not found")


def test_upgrade_is_cut_out():
    """An Upgrade field is taken out of the head, and nothing else."""
    head, _ = Head(LIMITS).take(b"GET /upgrade: HTTP/1.1\r\nX: upgrade: a\r\nUpGrade: h2c\r\nHost: a\r\n\r\n")
    assert head == b"GET /upgrade: HTTP/1.1\r\nX: upgrade: a\r\nHost: a\r\n\r\n"


def test_empty_lines_before():
    """Empty lines before a request are skipped."""
    assert Head(LIMITS).take(b"\r\n\r\n" + HEAD) == (HEAD, b"")


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20, b"GET / HTTP/1.1\r\nA: " + b"b" * 1000])
def test_large_heads(data):
    """A head is refused while it comes, not when it is there."""
    with pytest.raises(HeadTooLarge):
        Head(LIMITS).take(data)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\nHost", b"GET / HTTP/1.1\r\nA: b\rC", b"\x16\x03", b"get /", b"\0"])
def test_malformed_heads(data):
    """Other line ends than CRLF, and what cannot begin a request, are refused at once."""
    with pytest.raises(MalformedRequest):
        Head(LIMITS).take(data)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=4), st.lists(st.integers(1, 9)), st.binary(max_size=9))
def test_chunked_in_pieces(pieces, cuts, rest):
    """The end of a chunked body is found wherever the bytes are cut."""
    data = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    body, stream, used = Chunked(LIMITS), data + rest, 0
    for cut in [*cuts, len(stream)]:
        used += body.take(stream[:cut])
        stream = stream[cut:]
        if body.done:
            break
    assert body.done
    assert used == len(data)


def test_chunk_limit():
    """More chunks than the limit are refused."""
    with pytest.raises(TooManyChunks):
        Chunked(LIMITS).take(b"1\r\nx\r\n" * 6)


@pytest.mark.parametrize(
    "data", [b"g\r\n", b"\r\n", b"123456789\r\n", b"1 \r\n", b"0\r\nX: y\r\n\r\n", b"11111111111", b"1\n"]
)
def test_malformed_chunks(data):
    """A size line that is not one is refused, and so is anything after the last chunk."""
    with pytest.raises(MalformedRequest):
        Chunked(LIMITS).take(data)


def test_fixed():
    """A body of a given length takes just that."""
    body = Fixed(5)
    assert body.take(b"abc") == 3
    assert not body.done
    assert body.take(b"defgh") == 2
    assert body.done
