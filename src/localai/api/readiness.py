"""Whether this server can do its work, as `/readyz` tells it."""


class Readiness:
    """What must be true before work is taken; the composition root sets it, the health routes read it."""

    def __init__(self) -> None:
        self.store = False
        """The database is open."""
        self.fleet = False
        """The loop that runs models is alive."""
        self.draining = False
        """The server is leaving: what runs may finish, nothing new is taken."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Why the server is not ready, in a word each; empty when it is."""
        reasons = {"store": not self.store, "fleet": not self.fleet, "draining": self.draining}
        return tuple(name for name, true in reasons.items() if true)
