"""From files to text."""

import io
import zipfile

import pytest

from localai.service.extract import UnreadableFile, text_of


def test_text_is_read_in_utf_8_and_utf_16():
    """Text comes out as it was written, without a byte order mark."""
    assert text_of("Grüße, 世界".encode(), "a.txt") == "Grüße, 世界"
    assert text_of("Grüße".encode("utf-8-sig"), "a.md") == "Grüße"
    assert text_of("Grüße".encode("utf-16"), "a.csv") == "Grüße"


def test_a_page_is_read_as_a_reader_sees_it():
    """Of HTML the tags, scripts, styles and the head are left out, and blocks become lines."""
    page = b"""<html><head><title>T</title><style>p{}</style></head><body><h1>Cats</h1>
      <p>They <b>purr</b> &amp;
      sleep.<br>Often.</p><script>alert("x")</script><ul><li>One<li>Two</ul></body></html>"""
    assert text_of(page, "cats.HTML") == "Cats\nThey purr & sleep.\nOften.\nOne\nTwo"
    assert "<h1>" in text_of(page, "cats.txt")


def _docx() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    return held.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"%PDF-1.7 x", "PDF"), (_docx(), "docx"), (b"a\0b", "binary"), (b"\xff\x00\xfe", "known encoding")],
)
def test_what_is_not_text_is_refused_with_what_is_read(data: bytes, said: str):
    """PDF, Office files and binary data are refused by name, and the message lists the formats that are read."""
    with pytest.raises(UnreadableFile) as caught:
        text_of(data, "a.txt")
    assert said in caught.value.message
    assert "Markdown, HTML, JSON, CSV" in caught.value.message
