"""Strict JSON."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.api import strict
from localai.core.errors import MalformedBody

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=30,
)


@given(JSON, st.booleans())
def test_good_json(value, ascii_only):
    """Whatever is JSON within the bounds comes out as it went in, however it is escaped."""
    assert strict.loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes(raw):
    """Any bytes are either a value or a MalformedBody, never another error."""
    with contextlib.suppress(MalformedBody):
        json.dumps(strict.loads(raw)).encode()


@given(st.integers(1, 100), st.sampled_from(["[", '{"a":']))
def test_depth(levels, opener):
    """Exactly `DEPTH` levels are taken; brackets inside strings do not count."""
    closer = "]" if opener == "[" else "}"
    raw = (opener * levels + '"[[[]{{"' + closer * levels).encode()
    if levels <= strict.DEPTH:
        strict.loads(raw)
    else:
        with pytest.raises(MalformedBody, match="deeper"):
            strict.loads(raw)


def test_wide_is_not_deep():
    """Many containers side by side are fine up to their own limit."""
    strict.loads(b"[" + b"[]," * 10_000 + b"[]]")
    with pytest.raises(MalformedBody, match="more than"):
        strict.loads(b"[" + b"[]," * strict.CONTAINERS + b"[]]")


def test_escaped_backslash_is_no_surrogate():
    """The text of an escape is not the escape."""
    assert strict.loads(rb'"\\ud800"') == "\\ud800"


def test_message_has_no_content():
    """What is said about bad JSON is a place, never a piece of it."""
    with pytest.raises(MalformedBody, match="line 2, column") as error:
        strict.loads(b'{"a":\ncanary}')
    assert "canary" not in error.value.message
