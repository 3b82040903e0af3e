"""Vets chat templates: each is tried once, in a process of its own, before a model with it is loaded."""

import hashlib
import subprocess
import sys
import threading
from collections import OrderedDict

from localai.core.errors import InternalError, InvalidModel

LENGTH_LIMIT = 2**20
"""Bytes of a template."""
_PATIENCE = 20.0
"""Seconds for the helper in all; its own alarm ends a template's work far earlier."""
_REMEMBERED = 512

# Exit statuses of `loader.trial`.
_REASONS = {
    10: "is not valid Jinja",
    11: "reaches for things outside its sandbox",
    12: "writes without end",
    13: "takes too much memory",
    14: "calls itself without end",
}
_KILLED = "takes too much time or memory"

_verdicts: OrderedDict[str, str | None] = OrderedDict()
_guard = threading.Lock()


def vet(template: str) -> None:
    """Check that a chat template compiles and stays within its limits on trial conversations.

    Blocks for about 0.2 s the first time (1 s at most for a hostile template), so call it in a thread; the verdict
    is remembered by the template's hash. A template that refuses the trial conversations is fine.

    Raises:
        InvalidModel: It does not compile, breaks out of its sandbox, or uses too much time, memory or output.
        InternalError: The helper process could not be run.
    """
    source = template.encode("utf-8", "replace")
    if len(source) > LENGTH_LIMIT:
        raise InvalidModel(f"The chat template has {len(source)} bytes; {LENGTH_LIMIT} are allowed.")
    key = hashlib.sha256(source).hexdigest()
    with _guard:
        known = key in _verdicts
        reason = _verdicts.get(key)
    if not known:
        reason = _try(source)
        with _guard:
            _verdicts[key] = reason
            while len(_verdicts) > _REMEMBERED:
                _verdicts.popitem(last=False)
    if reason is not None:
        raise InvalidModel(f"The chat template {reason}; give another one as `template` in the model file.")


def _try(source: bytes) -> str | None:
    """Run the helper; return what is wrong with the template, or None."""
    command = [sys.executable, "-I", "-m", "localai.loader.trial"]
    try:
        done = subprocess.run(
            command,
            input=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/" if sys.platform != "win32" else None,
            timeout=_PATIENCE,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return _KILLED
    except OSError as error:
        raise InternalError("The process that checks chat templates could not be started.") from error
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return _KILLED
    reason = _REASONS.get(done.returncode)
    if reason is None:
        raise InternalError("The process that checks chat templates failed.")
    return reason
