"""Readiness."""

from localai.api.readiness import Readiness


def test_missing():
    """A server is ready when its store is open, its fleet runs and it does not leave."""
    readiness = Readiness()
    assert readiness.missing == ("store", "fleet")
    readiness.store = readiness.fleet = True
    assert readiness.missing == ()
    readiness.draining = True
    assert readiness.missing == ("draining",)
