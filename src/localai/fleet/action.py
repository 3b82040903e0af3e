"""What the plan decides is to be done."""

from localai.core.task import Value
from localai.fleet.state import Key


class Start(Value, frozen=True):
    """Start a process for this model."""

    key: Key
    spawn: int


class Stop(Value, frozen=True):
    """End this process. `why`: idle, evicted, unloaded, superseded, pressure, closing."""

    key: Key
    spawn: int
    why: str


class Grant(Value, frozen=True):
    """This request may use that process."""

    key: Key
    request: int
    spawn: int


class Refuse(Value, frozen=True):
    """This request gets an error of `core.errors`."""

    key: Key
    request: int
    code: str
    message: str
    retry_after: float | None = None


class Confirm(Value, frozen=True):
    """The unload that this request asked for is done."""

    request: int


class Wake(Value, frozen=True):
    """Nothing to do before this time, unless something happens: send a Tick then."""

    at: float


Action = Start | Stop | Grant | Refuse | Confirm | Wake
