"""Forms, files and batches over real sockets: what a client of the files API does, byte by byte."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

BOUNDARY = "----a-boundary"


def form(*parts: tuple[Any, ...], boundary: str = BOUNDARY) -> bytes:
    """A multipart body; a part is a name, its value and, for a file, its file name."""
    written: list[bytes] = []
    for name, value, *filename in parts:
        data = value if isinstance(value, bytes) else str(value).encode()
        named = f'; filename="{filename[0]}"' if filename else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        written.append(head.encode() + data + b"\r\n")
    return b"".join(written) + f"--{boundary}--\r\n".encode()


class Client:
    """One owner at one server."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        kind: str = "application/json",
        raw: bool = False,
        **headers: str,
    ) -> tuple[int, Any]:
        """One request; gives status and JSON (or, when `raw`, bytes)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.key}", "Content-Type": kind, **headers}
        try:
            connection.request(method, path, data, given)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, text if raw else json.loads(text)

    def post_form(self, path: str, data: bytes, boundary: str = BOUNDARY) -> tuple[int, Any]:
        """A form as it is."""
        return self.ask("POST", path, data, kind=f"multipart/form-data; boundary={boundary}")

    def store(self, data: bytes, purpose: str = "batch", name: str = "requests.jsonl") -> str:
        """Store a file; gives its id."""
        status, answer = self.post_form("/v1/files", form(("purpose", purpose), ("file", data, name)))
        assert status == 200, answer
        return answer["id"]

    def content(self, file: str) -> bytes:
        """The bytes of a file."""
        status, data = self.ask("GET", f"/v1/files/{file}/content", raw=True)
        assert status == 200, data
        return data

    def batch(
        self, requests: Sequence[Any], endpoint: str = "/v1/chat/completions", **fields: object
    ) -> dict[str, Any]:
        """Begin a batch of these lines; gives the batch."""
        file = self.store(b"\n".join(json.dumps(request).encode() for request in requests))
        body = {"input_file_id": file, "endpoint": endpoint, "completion_window": "24h", **fields}
        status, answer = self.ask("POST", "/v1/batches", body)
        assert status == 200, answer
        return answer

    def when(self, batch: str, reached: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
        """The batch once `reached(batch)` holds."""
        deadline, answer = time.monotonic() + seconds, {}
        while time.monotonic() < deadline:
            status, answer = self.ask("GET", f"/v1/batches/{batch}")
            assert status == 200, answer
            if reached(answer):
                return answer
            time.sleep(0.05)
        raise AssertionError(f"the batch stayed {answer}")

    def when_disk(self, reached: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something holds of the server's folder."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, "the folder did not become what it should"
            time.sleep(0.02)

    def results(self, file: str | None) -> list[dict[str, Any]]:
        """The lines of a file of results."""
        return [json.loads(line) for line in self.content(file).splitlines()] if file else []


def over(batch: dict[str, Any]) -> bool:
    """Whether a batch has ended."""
    return batch["status"] in {"completed", "failed", "expired", "cancelled"}


def request(number: int, model: str = "echo", url: str = "/v1/chat/completions", **body: object) -> dict[str, Any]:
    """A line of a batch that says its number back."""
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": f"say {number}"}], **body}
    return {"custom_id": f"request-{number}", "method": "POST", "url": url, "body": asked}


def said(line: dict[str, Any]) -> str:
    """What the model answered in a line of results."""
    return line["response"]["body"]["choices"][0]["message"]["content"]
