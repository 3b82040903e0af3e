"""Files in messages."""

import base64

import pytest

from localai.api.openai.chat import ChatBody, asked
from localai.api.openai.documents import LIMIT
from localai.core.errors import InvalidRequest, NotFound, PayloadTooLarge
from localai.core.task import TextPart
from localai.service.media import Media


def encoded(data):
    return base64.b64encode(data).decode()


async def stored(identifier):
    if identifier != "file-1":
        raise NotFound
    return "notes.md", b"# Notes"


async def read(file, stored=stored):
    content = [{"type": "text", "text": "Read:"}, {"type": "file", "file": file}]
    body = ChatBody.model_validate({"messages": [{"role": "user", "content": content}]})
    return (await asked(body, Media(), stored)).tasks[0].prompt.messages[0].content


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ({"file_data": encoded(b"a\xc3\xa4"), "filename": "a.txt"}, "File `a.txt`:\n\na\u00e4\n\n"),
        ({"file_data": f"data:text/plain;base64,{encoded(b'x')}"}, "File `file`:\n\nx\n\n"),
        ({"file_data": encoded("ä".encode("utf-16")), "filename": "u.csv"}, "File `u.csv`:\n\n\u00e4\n\n"),
        ({"file_data": encoded(b"<p>a</p><script>b</script>"), "filename": "a.html"}, "File `a.html`:\n\na\n\n"),
        ({"file_id": "file-1"}, "File `notes.md`:\n\n# Notes\n\n"),
        ({"file_id": "file-1", "filename": "other"}, "File `other`:\n\n# Notes\n\n"),
    ],
)
async def test_a_text_file_is_text_with_its_name(file, text):
    """A text file, sent or stored, is read by the model as text, with its name in front."""
    assert await read(file) == (TextPart(text="Read:"), TextPart(text=text))


@pytest.mark.parametrize(
    ("file", "error", "param"),
    [
        ({}, InvalidRequest, "messages.0.content.1.file"),
        ({"file_data": "?"}, InvalidRequest, "messages.0.content.1.file.file_data"),
        ({"file_data": encoded(b"%PDF-1.7 ..."), "filename": "a.pdf"}, InvalidRequest, "messages.0.content.1.file"),
        ({"file_data": encoded(b"\xff\xfe\x00\xd8")}, InvalidRequest, "messages.0.content.1.file"),
        ({"file_data": encoded(b"a" * (LIMIT + 1))}, PayloadTooLarge, "messages.0.content.1.file"),
        ({"file_id": "file-2"}, NotFound, None),
    ],
)
async def test_other_files_are_refused_by_their_place(file, error, param):
    """No content, no base64, a PDF, binary data, too much of it, and an unknown id are errors that name the place."""
    with pytest.raises(error) as caught:
        await read(file)
    assert caught.value.param == param


async def test_a_pdf_is_named_as_one():
    """The message about a PDF says what it is and what can be read."""
    with pytest.raises(InvalidRequest, match=r"PDF.*plain text"):
        await read({"file_data": encoded(b"%PDF-1.7 ...")})


async def test_without_a_store_there_are_no_ids():
    """Where nothing is stored a file cannot be named by an id."""
    with pytest.raises(InvalidRequest, match="file_data"):
        await read({"file_id": "file-1"}, stored=None)


async def test_files_count_with_images_and_sounds():
    """A request may carry only so many files."""
    content = [{"type": "file", "file": {"file_data": encoded(b"a")}}] * 65
    body = ChatBody.model_validate({"messages": [{"role": "user", "content": content}]})
    with pytest.raises(InvalidRequest, match="at most 64"):
        await asked(body, Media())
