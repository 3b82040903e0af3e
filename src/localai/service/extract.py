"""From the bytes of a file to its text; what is not text is refused with the list of what is read."""

import codecs
from html.parser import HTMLParser

from localai.core.errors import InvalidRequest

READ = "plain text, Markdown, HTML, JSON, CSV and source code, in UTF-8 or UTF-16"
"""The formats that are read, in words."""

_HTML = (".html", ".htm", ".xhtml")
_MARKS = (
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "Office (docx, xlsx, pptx) and ZIP"),
    (b"\xd0\xcf\x11\xe0", "old Office (doc, xls, ppt)"),
    (b"{\\rtf", "RTF"),
    (b"\x1f\x8b", "compressed"),
    (b"\x89PNG", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HIDDEN = frozenset(("script", "style", "template", "noscript", "svg", "head"))
_BLOCKS = frozenset(
    ("p", "div", "br", "hr", "li", "ul", "ol", "tr", "table", "section", "article", "header", "footer", "pre", "dt")
) | {f"h{level}" for level in range(1, 7)}


class UnreadableFile(InvalidRequest):
    """This file is not of a kind that is read."""


def text_of(data: bytes, filename: str) -> str:
    """The text of a file; of HTML what a reader sees, without its tags.

    Raises:
        UnreadableFile: It is not text.
    """
    for mark, kind in _MARKS:
        if data.startswith(mark):
            raise UnreadableFile(f"{kind} files are not read here; convert it to text. Read are: {READ}.")
    text = _decoded(data)
    if "\0" in text:
        raise UnreadableFile(f"This file holds binary data. Read are: {READ}.")
    return _seen(text) if filename.lower().endswith(_HTML) else text


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise UnreadableFile(f"This file is not text in a known encoding. Read are: {READ}.") from None


def _seen(html: str) -> str:
    page = _Page()
    page.feed(html)
    page.close()
    lines = (" ".join(line.split()) for line in "".join(page.pieces).splitlines())
    return "\n".join(line for line in lines if line)


class _Page(HTMLParser):
    """Collects what is shown of a page, one line for each block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data.replace("\n", " "))
