"""What is noted of a request."""

from hypothesis import given
from hypothesis import strategies as st

from localai.api import visit


@given(st.binary(max_size=200))
def test_identifier(given_id):
    """A request id is the client's own when it is plain, and always plain."""
    found = visit.identifier(given_id)
    assert visit._GIVEN.fullmatch(found.encode())
    if visit._GIVEN.fullmatch(given_id):
        assert found == given_id.decode()


def test_within():
    """A scope has one visit, made when there is none."""
    scope = {"type": "http"}
    first = visit.within(scope)
    assert visit.within(scope) is first
    assert (first.route, first.status) == ("unmatched", 0)
