"""The side door: llama.cpp's HTTP face on a Unix socket, for what its in-process calls do not offer."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any, cast

from localai.engines.llama.problems import problem

_PATIENCE = 600.0
"""Seconds without a byte after which a call is given up; a long prompt may be read meanwhile."""


class Side:
    """Calls to one server; each has a connection of its own, so any thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, target: str) -> Any:
        """GET some JSON."""
        return self._call("GET", target, None)

    def post(self, target: str, body: Any) -> Any:
        """POST JSON and read the JSON answer.

        Raises:
            LocalAIError: The server refused; see `problems.problem`.
        """
        return self._call("POST", target, body)

    def _call(self, method: str, target: str, body: Any) -> Any:
        connection = self._connect()
        try:
            response = _ask(connection, method, target, body)
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise problem(answer)
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(cast("float", self.timeout))
        self.sock.connect(str(self._path))


def _ask(connection: http.client.HTTPConnection, method: str, target: str, body: Any) -> http.client.HTTPResponse:
    data = None if body is None else json.dumps(body).encode()
    connection.request(method, target, data, {"Content-Type": "application/json"})
    return connection.getresponse()
