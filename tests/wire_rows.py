"""Rows for tests of the edge: they echo, stream, wait, fail, and say what they saw."""

import asyncio
from collections.abc import AsyncGenerator

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from localai.api.body import read
from localai.api.replies import EventStream, attended, json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.core.errors import Overloaded


class EchoBody(BaseModel):
    """What the echo route takes."""

    text: str | None = None
    items: list[str] | None = None
    number: int | None = None


class Routes:
    """The handlers, with the events a test waits for."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.go = asyncio.Event()
        self.silence = 10.0
        self.patience = 5.0

    def rows(self) -> list[Row]:
        return [
            Row("POST", "/v1/echo", self.echo, "public", "Give the text back", EchoBody, "test"),
            Row("GET", "/v1/hello", self.hello, "public", "Say hello", tag="test"),
            Row("GET", "/v1/things/{name:path}", self.thing, "public", "Say a name", tag="test"),
            Row("GET", "/v1/private", self.hello, "infer", "Say hello to a friend", tag="test"),
            Row("GET", "/v1/stream", self.stream, "public", "Stream until told to stop", tag="test"),
            Row("POST", "/v1/wait", self.wait, "public", "Wait until told to go on", tag="test"),
            Row("GET", "/v1/broken", self.broken, "public", "Fail with a secret in the text", tag="test"),
            Row("GET", "/v1/busy", self.busy, "public", "Refuse", tag="test"),
            Row("GET", "/v1/flood", self.flood, "public", "Send without end", tag="test"),
        ]

    async def echo(self, request: Request, caller: Caller) -> Response:
        body = await read(request, EchoBody)
        return json_reply(body.model_dump())

    async def hello(self, request: Request, caller: Caller) -> Response:
        return json_reply({"hello": caller.id})

    async def thing(self, request: Request, caller: Caller) -> Response:
        return json_reply({"name": request.path_params["name"]})

    async def stream(self, request: Request, caller: Caller) -> Response:
        return EventStream(self._pieces(), silence=self.silence, patience=self.patience)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: first\n\n"
            self.entered.set()
            await self.go.wait()
            yield b"data: last\n\n"
        finally:
            self.left.set()

    async def wait(self, request: Request, caller: Caller) -> Response:
        await request.body()
        return await attended(request, self._waited())

    async def _waited(self) -> Response:
        try:
            self.entered.set()
            await self.go.wait()
            return json_reply({"waited": True})
        finally:
            self.left.set()

    async def broken(self, request: Request, caller: Caller) -> Response:
        raise RuntimeError("the prompt was: secret-canary")

    async def busy(self, request: Request, caller: Caller) -> Response:
        raise Overloaded("The queue is full.", retry_after=2.5)

    async def flood(self, request: Request, caller: Caller) -> Response:
        return EventStream(self._flood())

    async def _flood(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"data: " + b"x" * 65536 + b"\n\n"
        finally:
            self.left.set()
