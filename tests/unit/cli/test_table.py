"""Rows in columns, and JSON."""

import json

from localai.cli.table import columns, pairs, write_json


def test_columns_are_aligned_and_have_no_trailing_blanks():
    """Each column is as wide as its widest cell, and no line ends in blanks."""
    assert columns(("NAME", "SIZE"), [("smollm2-135m", "98 MB"), ("x", "")]) == (
        "NAME          SIZE\nsmollm2-135m  98 MB\nx"
    )


def test_a_cell_stays_on_its_line():
    """A cell with newlines or escape codes can neither break the table nor reach the terminal."""
    assert columns(("A",), [("one\ntwo\x1b[2J",)]) == "A\none two\\x1b[2J"


def test_pairs_leave_out_what_is_empty():
    """A name without a value is not shown."""
    assert pairs([("name", "x"), ("licence", ""), ("size", "1 MB")]) == "name  x\nsize  1 MB"


def test_json_is_ascii(capsys):
    """JSON output holds no raw control or non-ASCII character, and reads back as it was."""
    write_json({"a": "\x1b\x7f\x9bü"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x7f" not in out
    assert json.loads(out) == {"a": "\x1b\x7f\x9bü"}
