"""Model names: which strings are one, and the file name each maps to. A name is never a path."""

import hashlib
import re
import unicodedata

from localai.core.errors import InvalidRequest

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
PATTERN = rf"^{_SEGMENT}(/{_SEGMENT}){{0,2}}(:[A-Za-z0-9._-]{{1,64}})?$"
"""`name`, `owner/name` or `host/owner/name`, each with an optional `:tag`."""
LENGTH = 3 * 128 + 2 + 65
LATEST = ":latest"
"""The tag that names mean when they have none: `NAME` and `NAME:latest` are the same model, unless both exist."""
_VALID = re.compile(PATTERN)
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?:\..*)?", re.IGNORECASE)
_STEM_LIMIT = 180


def parse(name: str) -> str:
    """Return `name` if it may be a model's name.

    Raises:
        InvalidRequest: It may not; the message says why, without the name when that is long or odd.
    """
    if not name:
        raise InvalidRequest("The model name is empty.", param="model")
    if len(name) > LENGTH:
        raise InvalidRequest(f"The model name is longer than {LENGTH} characters.", param="model")
    if not name.isascii() or unicodedata.normalize("NFC", name) != name or _VALID.fullmatch(name) is None:
        raise InvalidRequest(
            "A model name is up to three parts of letters, digits, `.`, `_` and `-` with `/` between them, "
            "and may end in `:tag`.",
            param="model",
        )
    for part in re.split("[/:]", name):
        if ".." in part or part.endswith("."):
            raise InvalidRequest("No part of a model name may contain `..` or end with a dot.", param="model")
        if _DEVICE.fullmatch(part):
            raise InvalidRequest(f"`{part}` is the name of a device and cannot be part of a model name.", param="model")
    return name


def valid(name: str) -> bool:
    """Whether `parse` takes the name."""
    try:
        parse(name)
    except InvalidRequest:
        return False
    return True


def stem(name: str) -> str:
    """Return the file name, without its ending, under which a model of this (parsed) name is kept.

    `/` and `:` become `%2F` and `%3A`; no name has a `%`, so two names never meet. Very long ones are cut and get
    a hash instead.
    """
    quoted = name.replace("/", "%2F").replace(":", "%3A")
    if len(quoted) <= _STEM_LIMIT:
        return quoted
    return f"{quoted[:_STEM_LIMIT]}%{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def suggest(text: str) -> str | None:
    """Return the name nearest to an arbitrary text (a file's stem), or None when nothing of it is usable."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    cleaned = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", plain)).lstrip("._-")[:128].rstrip("._-")
    return cleaned if valid(cleaned) else None
