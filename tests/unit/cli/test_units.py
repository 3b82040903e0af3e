"""Amounts as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.cli.errors import Misused
from localai.cli.units import moment, seconds, size, span


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (98_200_000, "98.2 MB"),
        (999_960, "1.0 MB"),
        (25_300_000_000, "25.3 GB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_sizes_have_three_digits(count: float, text: str):
    """Bytes are written with the unit that leaves one to three digits before the point."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [(0, "0 s"), (-5, "0 s"), (42, "42 s"), (60, "1 m"), (190, "3 m 10 s"), (7500, "2 h 5 m"), (277_000, "3 d 4 h")],
)
def test_spans_have_their_two_largest_units(given: float, text: str):
    """A time span names its largest unit and, when there is something left, the next."""
    assert span(given) == text


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_durations_are_read(text: str, value: float):
    """A duration is a number with s, m, h, d or w; without one it is seconds."""
    assert seconds(text, "--expires") == value


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_usage_error(text: str):
    """No text, however strange, is anything but a bounded positive duration or a usage error."""
    try:
        found = seconds(text, "--expires")
    except Misused:
        return
    assert 0 < found <= 100 * 365 * 86400


def test_a_moment_is_a_date_and_a_minute():
    """A Unix time is written as local date and minute."""
    assert moment(86400 * 365.25 * 30).startswith(("1999-12-31", "2000-01-01"))
