"""`localai serve` whose workers misbehave on request: `python misled.py [BACKOFF]`.

Everything but the command line of a worker is the real server (which also lets any option of a model pass). With
BACKOFF (seconds) a model may crash as often as a test likes, and is started again after that long.
"""

import sys
from functools import partial

import fleets
from localai import app
from localai.config import Settings
from localai.fleet.fleet import Fleet
from localai.fleet.state import Limits
from localai.loader import resolve


def main() -> int:
    limits = Limits(burst=10_000, attempts=3, backoff=float(sys.argv[1])) if len(sys.argv) > 1 else Limits()
    app.Fleet = partial(Fleet, command=fleets.misbehaving, limits=limits)
    resolve._known = lambda options, _: dict(options)
    return app.serve(Settings())


if __name__ == "__main__":
    sys.exit(main())
