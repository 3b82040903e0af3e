"""Modelfiles: Ollama's text form of a new model, as the fields of the JSON form."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from localai.core.errors import InvalidRequest

LENGTH = 2**20
"""Characters of a Modelfile."""
_LINE = re.compile(r"[ \t]*([A-Za-z]+)(?:[ \t]+|(?=\n|$))")
_SKIP = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n)+|[ \t\r]*#[^\n]*$")
_WORDS = frozenset(("FROM", "PARAMETER", "TEMPLATE", "SYSTEM", "ADAPTER", "LICENSE", "MESSAGE", "REQUIRES"))
_MANY = frozenset(("stop",))
_DIGEST = re.compile(r"@?(sha256[:-][0-9a-f]{64})")


class Line(NamedTuple):
    """One instruction, and the line it begins on."""

    word: str
    value: str
    number: int


def parse(text: str) -> dict[str, Any]:
    """The fields of the JSON form that a Modelfile stands for.

    Raises:
        InvalidRequest: It is not a Modelfile; the message names the line.
    """
    if len(text) > LENGTH:
        raise InvalidRequest(f"A Modelfile may have {LENGTH} characters.", param="modelfile")
    fields: dict[str, Any] = {}
    for line in _lines(text):
        _take(fields, line)
    if "from" not in fields and "files" not in fields:
        raise InvalidRequest("A Modelfile needs a line `FROM`.", param="modelfile")
    return fields


def _lines(text: str) -> Iterator[Line]:
    text = text.replace("\r\n", "\n")
    at = 0
    while at < len(text):
        skipped = _SKIP.match(text, at)
        if skipped and skipped.end() > at:
            at = skipped.end()
            continue
        if not text[at:].strip():
            return
        number = text.count("\n", 0, at) + 1
        found = _LINE.match(text, at)
        word = found[1].upper() if found else ""
        if found is None or word not in _WORDS:
            raise _wrong(number, f"begins with none of {', '.join(sorted(_WORDS))}")
        value, at = _value(text, found.end(), number)
        yield Line(word, value, number)


def _value(text: str, at: int, number: int) -> tuple[str, int]:
    """The value that begins at `at`, to the end of the line or of its three quotes, and where the next line begins."""
    opened = re.compile(r'(?:[A-Za-z_]+[ \t]+)?"""').match(text, at)
    if opened is None:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        return _bare(text[at:end].strip()), end + 1
    close = text.find('"""', opened.end())
    if close < 0:
        raise _wrong(number, 'opens `"""` and does not close it')
    end = text.find("\n", close)
    end = len(text) if end < 0 else end
    return opened[0][:-3] + text[opened.end() : close], end + 1


def _bare(value: str) -> str:
    """A value without the quotes around it; with escapes where it is quoted as JSON is."""
    if len(value) < 2 or not value[0] == value[-1] == '"':
        return value
    try:
        return str(orjson.loads(value))
    except orjson.JSONDecodeError:
        return value[1:-1]


def _take(fields: dict[str, Any], line: Line) -> None:
    match line.word:
        case "FROM":
            _from(fields, line)
        case "ADAPTER":
            files = fields.setdefault("adapters", {})
            files[f"adapter-{len(files) + 1}.gguf"] = _digest(line)
        case "PARAMETER":
            _parameter(fields.setdefault("parameters", {}), line)
        case "MESSAGE":
            role, _, content = line.value.partition(" ")
            fields.setdefault("messages", []).append({"role": role, "content": _bare(content.strip())})
        case "REQUIRES":
            pass
        case word:
            fields[word.lower()] = line.value


def _from(fields: dict[str, Any], line: Line) -> None:
    if _DIGEST.fullmatch(line.value):
        files = fields.setdefault("files", {})
        files[f"file-{len(files) + 1}.gguf"] = _digest(line)
    elif "from" in fields:
        raise _wrong(line.number, "is a second FROM with a name")
    else:
        fields["from"] = line.value


def _digest(line: Line) -> str:
    found = _DIGEST.fullmatch(line.value)
    if found is None:
        raise _wrong(
            line.number, f"names a file of another machine; upload it to /api/blobs and write `{line.word} @sha256:...`"
        )
    return found[1].replace("sha256-", "sha256:")


def _parameter(parameters: dict[str, Any], line: Line) -> None:
    name, _, text = line.value.partition(" ")
    text = _bare(text.strip())
    if not name or not text:
        raise _wrong(line.number, "needs a name and a value")
    if name in _MANY:
        parameters.setdefault(name, []).append(text)
    else:
        parameters[name] = _number(text)


def _number(text: str) -> Any:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _wrong(number: int, what: str) -> InvalidRequest:
    return InvalidRequest(f"Line {number} of the Modelfile {what}.", param="modelfile")
