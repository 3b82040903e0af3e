"""What the fleet is, as frozen values: the seats of models, who waits for them, and what can happen and be done.

All times are seconds of one monotonic clock, all memory is in bytes. A request is known by a number that grows
with every request, so the order of arrival is the order of the numbers.
"""

from typing import NewType

import msgspec

from localai.core.task import Value

Key = NewType("Key", str)
"""One version of one model: another file, context or option gives another key under the same name."""


BEHIND = 2**62
"""More than the number of any request."""


class Limits(Value, frozen=True):
    """The rules' figures."""

    queue: int = 256
    """Requests that may wait for one model."""
    queue_timeout: float = 600.0
    """Seconds a request may wait."""
    attempts: int = 3
    """Starts in a row that may fail before the model rests."""
    backoff: float = 0.2
    """Seconds between the first failed start and the second; doubles each time."""
    rest: float = 60.0
    """Seconds a model rests after too many failures; also the least time between two starts of a flapping model."""
    burst: int = 5
    """Starts that a model which keeps dying gets before it must rest between them."""
    probation: float = 60.0
    """Seconds a worker must live, ready, until the failures before it are forgotten."""
    residency: float = 10.0
    """Seconds at most that a model just loaded is safe from others (in truth: as long as its load took)."""
    patience: float = 15.0
    """Seconds a model waits for memory before no younger model may start in front of it."""
    quiet: float = 30.0
    """Seconds after its last use for which a model neither goes for the background nor gives it more than a slot."""
    lull: float = 2.0
    """Seconds after its last use for which a model counts as in use when the background wants to begin."""
    spacing: float = 15.0
    """Seconds between two requests of the background that begin while their model is in use.

    A prompt that is read holds up whoever comes meanwhile by one batch of it; that should happen to few.
    """


class Waiting(Value, frozen=True):
    """A request that has not been granted yet. `light` ones take no slot."""

    request: int
    since: float
    light: bool = False
    background: bool = False

    @property
    def rank(self) -> int:
        """The order in which requests have their turn: by arrival, and those in the background behind all others."""
        return self.request + BEHIND if self.background else self.request


class Leaver(Value, frozen=True):
    """Somebody who asked to unload a model and waits until it is."""

    request: int
    deadline: float


class Trouble(Value, frozen=True):
    """What went wrong lately with a model."""

    failures: int = 0
    """Failed starts in a row."""
    spawns: tuple[float, ...] = ()
    """When the last starts were made that no long or clean life followed."""
    not_before: float = 0.0
    """No start before this time (back-off)."""


class Cold(Value, frozen=True):
    """No process."""


class Starting(Value, frozen=True):
    """A process loads the model; `need` bytes are promised to it."""

    spawn: int
    since: float
    need: int


class Ready(Value, frozen=True):
    """A worker that answers."""

    spawn: int
    since: float
    need: int
    """Bytes promised: the estimate, or what it really took when that is more."""
    slots: int
    took: float
    """Seconds the load took."""
    idle_since: float
    running: frozenset[int] = frozenset()
    light: frozenset[int] = frozenset()
    background: frozenset[int] = frozenset()
    """Those of both that came in the background."""
    used: float = float("-inf")
    """When the last request ended that was not in the background."""
    eased: float = float("-inf")
    """When the background last began something while the model was in use."""

    @property
    def busy(self) -> bool:
        """Whether a granted request is still under way."""
        return bool(self.running or self.light)

    @property
    def live(self) -> bool:
        """Whether one that is not in the background is."""
        return len(self.running) + len(self.light) > len(self.background)


class Dying(Value, frozen=True):
    """A process that cannot be talked to any more and has not ended yet; `was` tells what it was before."""

    spawn: int
    need: int
    was: Starting | Ready


class Stopping(Value, frozen=True):
    """A process that was told to end; its memory counts until it has."""

    spawn: int
    since: float
    need: int
    was_ready: bool


class Resting(Value, frozen=True):
    """The breaker is open: requests are refused with this error until the rest is over."""

    until: float
    code: str
    message: str


State = Cold | Starting | Ready | Dying | Stopping | Resting


class Seat(Value, frozen=True):
    """A model's place: its process, the requests that wait for it, and its history."""

    name: str
    estimate: int
    """Bytes the planner thinks a process needs."""
    need: int
    """Bytes the next process is going to be promised: more than the estimate once it has proved too small."""
    keep_alive: float
    """Seconds an idle worker stays; negative means for ever."""
    state: State = Cold()
    waiting: tuple[Waiting, ...] = ()
    """In the order of their ranks."""
    trouble: Trouble = Trouble()
    leavers: tuple[Leaver, ...] = ()
    leaving_from: int = 0
    """With leavers: requests of this number and later wait for the next process."""
    superseded: bool = False
    """A newer version of the model was asked for; this one goes as soon as it is idle."""


class Fleet(Value, frozen=True):
    """Everything the plan knows. `seats` is never changed in place."""

    limits: Limits = Limits()
    budget: int = 0
    """Bytes of memory all processes together may be promised."""
    seats: dict[Key, Seat] = {}
    spawns: int = 0
    """Processes started so far."""
    closing: bool = False


def promised(seat: Seat) -> int:
    """Bytes that this seat's process holds or may come to hold."""
    match seat.state:
        case Starting(need=need) | Ready(need=need) | Dying(need=need) | Stopping(need=need):
            return need
        case Cold() | Resting():
            return 0


# What can happen. Requests and spawns that are not known (any more) are ignored.


class Asked(Value, frozen=True):
    """A request for a model. `need` is its estimated memory, `keep_alive` what this request wants it to be."""

    key: Key
    name: str
    request: int
    need: int
    keep_alive: float
    light: bool = False
    background: bool = False


class Gone(Value, frozen=True):
    """A request is over: given up while it waited, or its worker is done with it."""

    key: Key
    request: int


class Loaded(Value, frozen=True):
    """A worker can answer and has taken this much memory."""

    key: Key
    spawn: int
    memory: int
    slots: int


class Took(Value, frozen=True):
    """A worker holds more memory than it was promised."""

    key: Key
    spawn: int
    memory: int


class Lost(Value, frozen=True):
    """A process cannot be talked to any more; that it Died (or Stopped) follows."""

    key: Key
    spawn: int


class Died(Value, frozen=True):
    """A process ended without having been told to. `final` means that trying again cannot help."""

    key: Key
    spawn: int
    code: str
    message: str
    final: bool = False


class Stopped(Value, frozen=True):
    """A process that was told to end has ended."""

    key: Key
    spawn: int


class MemoryChanged(Value, frozen=True):
    """There is this much memory for models now."""

    budget: int


class Unload(Value, frozen=True):
    """Somebody wants a model out of memory; its failures are forgotten too."""

    name: str
    request: int
    deadline: float


class Tick(Value, frozen=True):
    """Time has passed."""


class Closing(Value, frozen=True):
    """The server shuts down: nobody new; `now` also ends what is running."""

    now: bool = False


Happened = Asked | Gone | Loaded | Took | Lost | Died | Stopped | MemoryChanged | Unload | Tick | Closing


change = msgspec.structs.replace
"""A copy of a value with some fields changed."""
