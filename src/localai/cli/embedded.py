"""A server for the length of one command: the whole application in a thread, on a free loopback port."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

from localai.cli.errors import Failure, refused
from localai.cli.target import Target, settings
from localai.core.errors import LocalAIError

START = 60.0
"""Seconds the application may take to listen."""
STOP = 60.0
"""Seconds the application may take to stop its models."""


@contextmanager
def embedded() -> Generator[Target]:
    """Start the application on 127.0.0.1, port 0, with this machine's settings, and stop it after the block.

    Raises:
        Failure: It does not start.
    """
    from localai.app import App
    from localai.observe import logs

    chosen = settings(host="127.0.0.1", port=0, open=False, log_level="error")
    logs.configure(chosen.log_level, chosen.log_json)
    with _loop() as loop:
        app = App(chosen)
        try:
            url = asyncio.run_coroutine_threadsafe(app.start(), loop).result(START)
        except LocalAIError as error:
            raise refused(error.status, error.code, error.message) from None
        except (OSError, TimeoutError):
            raise Failure(
                "The server inside this command did not start.",
                why=f"its home {chosen.home} cannot be used, or this machine is too busy.",
                fix="`localai doctor`",
            ) from None
        try:
            yield Target(url=url, key=app.key)
        finally:
            asyncio.run_coroutine_threadsafe(app.stop(), loop).result(STOP)


@contextmanager
def _loop() -> Generator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own until the block ends."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="embedded", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP)
        loop.run_until_complete(_cancel_rest())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _cancel_rest() -> None:
    """Cancel what still runs in this loop, such as a start that was given up, and wait for its end."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
