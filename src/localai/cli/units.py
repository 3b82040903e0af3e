"""Amounts as people write and read them: bytes and durations."""

import re
import time

from localai.cli.errors import Misused

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST = 100 * 365 * 86400


def size(count: float) -> str:
    """Bytes in three digits: 512 B, 98.2 MB, 4.1 GB (powers of 1000, as disks and downloads are sold)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(seconds: float) -> str:
    """Seconds in their one or two largest units: 42 s, 3 m 10 s, 2 h 5 m, 3 d 4 h."""
    rest = max(0, round(seconds))
    for name, length, below, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if rest >= length:
            small = rest % length // part
            return f"{rest // length} {name} {small} {below}" if small else f"{rest // length} {name}"
    return f"{rest} s"


def seconds(text: str, option: str) -> float:
    """Read a duration: 90, 90s, 10m, 12h, 30d, 2w.

    Raises:
        Misused: It is none; the message names the option.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", text.strip())
    amount = float(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < amount <= _LONGEST:
        raise Misused(
            f"`{text}` is not a duration for {option}.", fix=f"`{option} 90s`, `{option} 10m`, `{option} 30d`."
        )
    return amount


def moment(unix: float) -> str:
    """A Unix time as local date and minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix))
