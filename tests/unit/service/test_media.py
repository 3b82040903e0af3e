"""Images and sound of requests."""

import base64

import pytest

from localai.core.errors import InvalidRequest, PayloadTooLarge
from localai.service.media import OFFLOAD, Media

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
WAV = b"RIFF\x00\x00\x00\x00WAVE" + bytes(20)


def url(data, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    "data",
    [PNG, b"\xff\xd8\xff\xe0" + bytes(9), b"GIF89a" + bytes(9), b"RIFF\x00\x00\x00\x00WEBP", PNG + bytes(OFFLOAD)],
)
async def test_images_of_four_kinds(data):
    """PNG, JPEG, GIF and WebP are known by their first bytes, whatever the URL says of them."""
    assert await Media().image(url(data, "text/html"), param="p") == data


@pytest.mark.parametrize(
    "text",
    [url(b"<svg/>"), url(b""), "data:image/png,abc", "data:image/png;base64,@@@", "data:", "file:///etc/passwd", "",
     "https://example.com/a.png", "HTTP://127.1/", "dAtA:image/png;base64,é"],
)  # fmt: skip
async def test_what_is_no_image_is_refused(text):
    """Other kinds, broken base64, other schemes and, without a fetcher, addresses are refused by the field."""
    with pytest.raises(InvalidRequest) as caught:
        await Media().image(text, param="messages.0")
    assert caught.value.param == "messages.0"


async def test_too_many_bytes_are_refused_before_they_are_decoded():
    """A file beyond the limit is refused by its length."""
    with pytest.raises(PayloadTooLarge):
        await Media(limit=10).image(url(PNG), param="p")


async def test_addresses_go_through_the_one_client():
    """With a fetcher, addresses are fetched within the limit and checked like any data."""
    wanted = []

    async def fetch(address, limit):
        wanted.append((address, limit))
        return PNG

    assert await Media(fetch, limit=50).image("https://example.com/a", param="p") == PNG
    assert wanted == [("https://example.com/a", 50)]
    with pytest.raises(PayloadTooLarge):
        await Media(fetch, limit=5).image("https://example.com/a", param="p")


@pytest.mark.parametrize(("data", "form"), [(WAV, "wav"), (b"ID3\x04", "mp3"), (b"\xff\xfb\x90", "mp3")])
async def test_sound_of_two_kinds(data, form):
    """WAV and MP3 are taken as base64 or as data URLs."""
    text = base64.b64encode(data).decode()
    assert await Media().audio(text, form, param="p") == data
    assert await Media().audio(f"data:audio/x;base64,{text}", form, param="p") == data


@pytest.mark.parametrize(("data", "form"), [(WAV, "mp3"), (PNG, "wav"), (b"", "mp3")])
async def test_sound_of_another_kind_is_refused(data, form):
    """Bytes that are not of the named format are refused."""
    with pytest.raises(InvalidRequest):
        await Media().audio(base64.b64encode(data).decode(), form, param="p")


@pytest.mark.parametrize("text", [url(b"any", "text/plain"), base64.b64encode(b"any").decode()])
async def test_a_document_is_whatever_it_is(text):
    """A document comes as base64 or as a `data:` URL and may hold anything."""
    assert await Media().document(text, param="p") == b"any"


@pytest.mark.parametrize(
    ("text", "error"),
    [("?", InvalidRequest), ("data:text/plain,a", InvalidRequest), (url(bytes(200)), PayloadTooLarge)],
)
async def test_a_document_within_bounds(text, error):
    """A document that is not base64 or too large is refused by the field."""
    with pytest.raises(error) as caught:
        await Media(limit=100).document(text, param="p")
    assert caught.value.param == "p"
