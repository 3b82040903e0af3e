"""The HTTP client of the command line: JSON, NDJSON and server-sent events over one connection a request."""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from localai.cli.errors import Failure, Misused, Unreachable, refused, refused_by_code
from localai.core.version import version

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

CONNECT = 5.0
"""Seconds to wait for a connection."""
QUIET = 120.0
"""Seconds a stream may be silent: the server writes a sign of life every ten."""
REPLY_LIMIT = 64 * 2**20
LINE_LIMIT = 16 * 2**20


class Client:
    """Talks to one server. Every method raises a Failure that says what to do, never an OSError."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Build a client for a base URL (http or https, a path prefix allowed) and an API key.

        Raises:
            Misused: The URL cannot be one.
        """
        self.url = url.rstrip("/")
        self._key = key
        try:
            parts = urlsplit(self.url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            parts, self._host, self._port = urlsplit(""), "", None
        if parts.scheme not in ("http", "https") or not self._host:
            raise Misused(f"`{url}` is not the address of a server.", fix="LOCALAI_HOST=http://127.0.0.1:8080")
        self._secure = parts.scheme == "https"
        self._prefix = parts.path

    def get(self, path: str, *, wait: float = 30) -> Any:
        """The JSON at a path; `wait` is the seconds the server may take."""
        return self._whole("GET", path, None, wait)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, wait: float = 30) -> Any:
        """The JSON answer to a body; `wait` is the seconds the server may take."""
        return self._whole("POST", path, body or {}, wait)

    def delete(self, path: str, *, wait: float = 30) -> Any:
        """The JSON answer to a deletion (None when it has no content)."""
        return self._whole("DELETE", path, None, wait)

    def records(self, path: str, body: Mapping[str, Any]) -> Generator[dict[str, Any]]:
        """The JSON objects of an NDJSON answer as they come. Closing the generator closes the connection."""
        for line in self._lines(path, body):
            if line.strip():
                yield self._record(line)

    def events(self, path: str, body: Mapping[str, Any]) -> Generator[dict[str, Any]]:
        """The JSON objects of an event stream as they come; closing the generator ends the work on the server.

        Raises:
            Failure: The stream holds an error, or ends before `[DONE]`.
        """
        for line in self._lines(path, body):
            if not line.startswith(b"data:"):
                continue  # comments are signs of life, blank lines end an event
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            record = self._record(data)
            if "error" in record:
                raise _stream_error(record["error"])
            yield record
        raise self._cut()

    def _whole(self, method: str, path: str, body: Mapping[str, Any] | None, wait: float) -> Any:
        with self._exchange(method, path, body, wait) as reply:
            data = reply.read(REPLY_LIMIT + 1)
            if len(data) > REPLY_LIMIT:
                raise Failure(f"The answer of {self.url} is larger than {REPLY_LIMIT // 2**20} MB.")
            return self._parse(data) if data else None

    def _lines(self, path: str, body: Mapping[str, Any]) -> Iterator[bytes]:
        with self._exchange("POST", path, body, QUIET) as reply:
            while line := reply.readline(LINE_LIMIT):
                yield line

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, wait: float
    ) -> Generator["HTTPResponse"]:
        """One request and its answer (2xx); the connection closes with the block, whatever happened."""
        from http.client import HTTPException

        connection = self._connect()
        try:
            if connection.sock:
                connection.sock.settimeout(wait)
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, self._prefix + path, body=data, headers=self._headers(data))
            reply = connection.getresponse()
            if reply.status >= 300:
                raise self._refusal(reply)
            yield reply
        except TimeoutError:
            raise Failure(
                f"The server at {self.url} did not answer within {wait:.0f} s.", fix="`localai status`"
            ) from None
        except (OSError, HTTPException):
            raise self._cut() from None
        finally:
            connection.close()

    def _connect(self) -> "HTTPConnection":
        from http.client import HTTPConnection, HTTPSConnection

        kind = HTTPSConnection if self._secure else HTTPConnection
        connection = kind(self._host, self._port, timeout=CONNECT)
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(
                f"No server answers at {self.url}.",
                why=error.strerror or "the address cannot be reached.",
                fix="`localai serve` there, or name another with LOCALAI_HOST=http://HOST:PORT.",
            ) from None
        return connection

    def _headers(self, data: bytes | None) -> dict[str, str]:
        headers = {"User-Agent": f"localai-cli/{version()}", "Accept": "*/*"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    def _refusal(self, reply: "HTTPResponse") -> Failure:
        """The failure in an error answer: problem+json of the admin API or the error object of the OpenAI routes."""
        try:
            body = _fields(json.loads(reply.read(2**20)))
        except ValueError:
            body = {}
        error = _fields(body.get("error")) or body
        message = error.get("message") or error.get("detail") or error.get("title") or ""
        retry_after = reply.getheader("Retry-After") or ""
        return refused(reply.status, str(error.get("code") or ""), str(message), retry_after=retry_after)

    def _record(self, data: bytes) -> dict[str, Any]:
        value = self._parse(data)
        if not isinstance(value, dict):
            raise self._foreign()
        return _fields(value)

    def _parse(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            raise self._foreign() from None

    def _foreign(self) -> Failure:
        return Failure(
            f"The answer of {self.url} makes no sense.",
            why="something other than a LocalAI server may listen there.",
            fix="`localai status --port PORT` with the port of your server.",
        )

    def _cut(self) -> Failure:
        return Failure(
            f"The connection to {self.url} was cut before the answer was complete.",
            why="the server stopped, or the network failed.",
            fix="`localai status`, then the same command again.",
        )


def _fields(value: Any) -> dict[str, Any]:
    """A JSON object as it is; nothing of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _stream_error(error: Any) -> Failure:
    fields = _fields(error) or {"message": str(error)}
    return refused_by_code(str(fields.get("code") or ""), str(fields.get("message") or "The server failed."))
