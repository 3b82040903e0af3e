"""The process that holds one model: `python -I -m localai.worker.main FD`.

Reads wire messages from the inherited socket FD, runs each request in a thread and sends its events back. The first
message is Load. When the socket ends, the gateway is gone and so is this process.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import NoReturn

import msgspec

from localai import wire
from localai.core.errors import InternalError, LocalAIError, ModelLoadFailed, NotEnoughMemory
from localai.core.model import Loaded
from localai.engines.base import Engine
from localai.worker import jail
from localai.worker.beater import Beater
from localai.worker.link import Link
from localai.worker.streams import Streams, report

_PATIENCE = 5.0
"""Seconds that running requests get to notice a shutdown."""


def main() -> None:
    """Serve until told to stop or the gateway is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    first = _receive(link)
    if not isinstance(first, wire.Load):
        _leave("The first message was not Load.")
    folder = Path.cwd()
    beater = Beater(link.connection, folder)
    try:
        engine, missing = _prepare(first, folder)
        loaded = _load(link, engine, first, folder, missing)
    except LocalAIError as error:
        beater.stop()
        link.send(wire.Unable(code=error.code, message=error.message))
        os._exit(1)
    beater.stop()
    link.send(wire.Ready(loaded=loaded))
    _serve(link, engine, first.sizing.slots)


def _serve(link: Link, engine: Engine, slots: int) -> NoReturn:
    streams = Streams(link, engine, slots=slots)
    link.beat(lambda: len(streams))
    threading.Thread(target=_read, args=(link, streams), name="read", daemon=True).start()
    streams.ended.wait()
    if streams.wait_idle(_PATIENCE):
        with contextlib.suppress(Exception):
            engine.close()
    os._exit(0)


def _prepare(first: wire.Load, folder: Path) -> tuple[Engine, tuple[str, ...]]:
    """Enter the jail, then import the engine: not even its import runs outside."""
    from localai.engines import registry  # noqa: PLC0415 - entry points are read only when there is work

    model = first.model
    manifest = registry.manifest(model.engine)
    files = [*model.files.values(), *(adapter.path for adapter in model.adapters)]
    missing = jail.enter(files, folder, network=manifest.network)
    if missing:
        sys.stderr.write(f"worker: not applied: {'; '.join(missing)}\n")
    return registry.create(model.engine), missing


def _load(link: Link, engine: Engine, first: wire.Load, folder: Path, missing: tuple[str, ...]) -> Loaded:
    try:
        loaded = engine.load(first.model, first.sizing, folder)
    except LocalAIError:
        raise
    except MemoryError:
        raise NotEnoughMemory("The process ran out of memory while loading the model.") from None
    except Exception as error:
        report(error)
        raise ModelLoadFailed from error
    said = f"{loaded.description}; not applied: {'; '.join(missing)}" if missing else loaded.description
    return msgspec.structs.replace(loaded, memory=loaded.memory or link.memory(), description=said)


def _read(link: Link, streams: Streams) -> None:
    """Carry out what the gateway says, until it hangs up."""
    try:
        while True:
            message = _receive(link)
            match message:
                case wire.Open():
                    streams.open(message.stream, message.task)
                case wire.Cancel():
                    streams.cancel(message.stream)
                case wire.Credit():
                    streams.credit(message.stream, message.items)
                case wire.Shutdown():
                    streams.shut()
                case wire.Load():
                    _leave("A second Load arrived.")
    except InternalError as error:
        _leave(error.message)
    except Exception as error:  # noqa: BLE001 - without a reader the process is deaf and must end
        report(error)
        os._exit(1)


def _receive(link: Link) -> wire.ToWorker:
    """Wait for the next message; leave when the connection ends or carries garbage."""
    try:
        body = link.receive()
    except InternalError as error:
        _leave(error.message)
    if body is None:
        os._exit(0)
    try:
        return wire.decode_to_worker(body)
    except msgspec.MsgspecError:
        _leave("A message from the gateway could not be understood.")


def _leave(reason: str) -> NoReturn:
    sys.stderr.write(f"worker: {reason}\n")
    sys.stderr.flush()
    os._exit(2)


if __name__ == "__main__":
    main()
