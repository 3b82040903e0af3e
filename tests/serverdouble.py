"""A real HTTP server on a loopback port that answers what a test told it to, and remembers what it got."""

import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Canned:
    """One answer: a JSON body, or pieces of a stream; `hold` keeps the stream open until the client hangs up."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] | None = None
    hold: bool = False


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: tests do that on purpose."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ServerDouble:
    """Start with `with ServerDouble() as server:`; `server.on("GET", "/path", Canned(...))` plans an answer."""

    def __init__(self, request_id: str = "req_1") -> None:
        self.request_id = request_id
        self.requests: list[Received] = []
        self.left = threading.Event()
        """Set once a client hung up on a held stream."""
        self.said = threading.Event()
        """Set once the pieces of a held stream are on their way."""
        self._planned: dict[tuple[str, str], Canned] = {("GET", "/livez"): Canned({"status": "ok"})}
        self._server = _Listener(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, canned: Canned) -> None:
        self._planned[method, path] = canned

    def answer(self, method: str, path: str) -> Canned:
        missing = {"code": "model_not_found", "detail": f"There is nothing at {path}.", "status": 404}
        return self._planned.get((method, path), Canned(missing, status=404))

    def bodies(self, path: str) -> list[Any]:
        return [request.body for request in self.requests if request.path == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def sse(*events: Any, end: bool = True) -> list[bytes]:
    """Server-sent events as the chat route writes them."""
    frames = [b": keep-alive\n\n", *(f"data: {json.dumps(event)}\n\n".encode() for event in events)]
    return [*frames, b"data: [DONE]\n\n"] if end else frames


def ndjson(*records: Any) -> list[bytes]:
    return [json.dumps(record).encode() + b"\n" for record in records]


def said(*words: str, finish: str = "stop") -> list[bytes]:
    """A chat stream that says these words and ends with its usage."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
    usage = {"prompt_tokens": 12, "completion_tokens": len(words), "prompt_tokens_details": {"cached_tokens": 4}}
    return sse(
        *chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}, {"choices": [], "usage": usage}
    )


def _handler(double: ServerDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            data = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            double.requests.append(Received(self.command, self.path, headers, json.loads(data) if data else None))
            canned = double.answer(self.command, self.path)
            if canned.pieces is None:
                self._whole(canned)
            else:
                self._stream(canned)

        def _whole(self, canned: Canned) -> None:
            data = canned.body if isinstance(canned.body, bytes) else json.dumps(canned.body).encode()
            self.send_response(canned.status)
            for name, value in {
                "Content-Length": str(len(data)),
                "X-Request-Id": double.request_id,
                **canned.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, canned: Canned) -> None:
            self.send_response(canned.status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in canned.pieces or ():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            if canned.hold:
                double.said.set()
                self.rfile.read(1)  # returns once the client closes its end
                double.left.set()
            else:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - names that http.server looks for

    return Handler
