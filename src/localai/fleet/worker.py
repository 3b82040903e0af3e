"""One loaded model as the gateway holds it: the process, the connection, and the eye on both."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from localai import wire
from localai.core.errors import BY_CODE, EngineCrashed, EngineStalled, InternalError, LocalAIError, ModelLoadFailed
from localai.core.model import Loaded, Model, Sizing
from localai.core.task import Value
from localai.fleet.link import Link
from localai.fleet.process import Command, Exit, Process


class Patience(Value, frozen=True):
    """How long a worker may take, in seconds."""

    load: float = 600.0
    stall: float = 120.0
    """Without progress while somebody waits."""
    silence: float = 10.0
    """Without a heartbeat, once loaded."""
    goodbye: float = 3.0
    """Between the request to shut down and SIGTERM, and again until SIGKILL."""


class Ended(Value, frozen=True):
    """How a worker ended, in an error of `core.errors`. `final`: another start cannot help."""

    code: str
    message: str
    final: bool
    exit: Exit


class Worker:
    """Starts at once. Callbacks come on the event loop: `on_loaded` at most once, then `on_lost`, then `on_ended`."""

    def __init__(
        self,
        model: Model,
        sizing: Sizing,
        *,
        run: Path,
        command: Command,
        patience: Patience,
        on_loaded: Callable[["Worker", Loaded], None],
        on_memory: Callable[["Worker", int], None],
        on_lost: Callable[["Worker"], None],
        on_ended: Callable[["Worker", Ended], None],
    ) -> None:
        """Start the process.

        Raises:
            OSError: The system has no process or descriptor left.
        """
        self.model = model
        self.sizing = sizing
        self.memory = 0
        """Resident bytes, as it says itself."""
        self.loaded: Loaded | None = None
        self._patience = patience
        self._on_loaded, self._on_memory, self._on_lost, self._on_ended = on_loaded, on_memory, on_lost, on_ended
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self._verdict: LocalAIError | None = None
        self._final = False
        self.stopping = False
        """It was told to end."""
        self._progress = -1
        self._moved = self.began
        self._missed = 0
        self.link = Link(on_loaded=self._hear_loaded, on_beat=self._hear_beat, on_lost=self._hear_lost)
        self._process = Process(run, command, self._hear_exit)
        self.pid = self._process.pid
        self._timers = [self._loop.call_later(patience.load, self._load_is_over)]
        self._connecting = self._loop.create_task(self._connect())

    def stop(self, goodbye: float | None = None) -> None:
        """Ask it to end; make it, when it does not within `goodbye` seconds and as many again."""
        self.stopping = True
        pause = self._patience.goodbye if goodbye is None else goodbye
        self.link.send(wire.Shutdown())
        self._timers += [
            self._loop.call_later(pause, self._process.terminate),
            self._loop.call_later(2 * pause, self._process.kill),
        ]

    def kill(self, error: LocalAIError, *, final: bool = False) -> None:
        """End it now; its streams, and who asks why, get this error."""
        self._verdict = self._verdict or error
        self._final = self._final or final
        self.link.break_off(error)
        self._process.kill()

    async def _connect(self) -> None:
        try:
            await self._loop.create_unix_connection(lambda: self.link, sock=self._process.socket)
        except OSError:
            self.kill(EngineCrashed())
            return
        self.link.send(wire.Load(model=self.model, sizing=self.sizing))

    def _hear_loaded(self, message: wire.Ready | wire.Unable) -> None:
        if isinstance(message, wire.Unable):
            case = BY_CODE.get(message.code, InternalError)
            self._verdict = case(message.message)
            self._final = not case.retry
            self._timers.append(self._loop.call_later(self._patience.goodbye, self._process.kill))
        elif self.loaded is None:
            self.loaded = message.loaded
            self.memory = max(self.memory, message.loaded.memory)
            self._timers.append(self._loop.call_later(wire.BEAT, self._watch))
            self._on_loaded(self, message.loaded)

    def _hear_beat(self, beat: wire.Beat) -> None:
        self._missed = 0
        self.memory = beat.memory
        now = self._loop.time()
        if beat.progress != self._progress or not self.link.waits():
            self._progress, self._moved = beat.progress, now
        elif now - self._moved >= self._patience.stall and self.loaded and not self.stopping:
            self._stalled(f"made no progress for {self._patience.stall:g} seconds")
        self._on_memory(self, beat.memory)

    def _watch(self) -> None:
        """Count heartbeats that did not come; counted in turns of this loop, so that its own delays do not count."""
        self._missed += 1
        silence = max(min(self._patience.silence, self._patience.stall), 3 * wire.BEAT)
        if self._missed * wire.BEAT > silence and not self.stopping:
            self._stalled("does not give a sign of life")
            return
        self._timers[1:] = [timer for timer in self._timers[1:] if timer.when() > self._loop.time()]
        self._timers.append(self._loop.call_later(wire.BEAT, self._watch))

    def _stalled(self, what: str) -> None:
        self.kill(EngineStalled(f"The process that runs `{self.model.name}` {what} and was ended; try again."))

    def _load_is_over(self) -> None:
        if self.loaded is None and not self.stopping:
            message = f"The model `{self.model.name}` did not load within {self._patience.load:g} seconds."
            self.kill(ModelLoadFailed(message), final=True)

    def _hear_lost(self) -> None:
        # A process without its connection is of no use; one that is dying gets the time to do so by itself.
        self._timers.append(self._loop.call_later(0.5, self._process.kill))
        self._on_lost(self)

    def _hear_exit(self, exit_: Exit) -> None:
        for timer in self._timers:
            timer.cancel()
        self._connecting.cancel()
        self.link.break_off(EngineCrashed())
        self._process.socket.close()
        error = self._verdict or EngineCrashed(
            f"The process that runs `{self.model.name}` ended unexpectedly ({exit_.cause})."
        )
        self._on_ended(self, Ended(code=error.code, message=error.message, final=self._final, exit=exit_))
