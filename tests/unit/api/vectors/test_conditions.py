"""OpenAI's filters to conditions."""

import pytest

from localai.api.vectors.conditions import COUNT, DEPTH, condition
from localai.core.errors import InvalidRequest
from localai.service.filters import Comparison, Compound

ONE = {"type": "eq", "key": "a", "value": 1}


def nested(depth):
    found = ONE
    for _ in range(depth - 1):
        found = {"type": "or", "filters": [found]}
    return found


def test_filters_are_read():
    """Comparisons, lists of values and compounds become conditions of the same meaning."""
    given = {"type": "and", "filters": [ONE, {"type": "in", "key": "b", "value": ["x", "y", True]}]}
    assert condition(given) == Compound(
        kind="and",
        parts=(
            Comparison(kind="eq", key="a", values=(1,)),
            Comparison(kind="in", key="b", values=("x", "y", True)),
        ),
    )
    assert isinstance(condition(nested(DEPTH)), Compound)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "filters.type"),
        ({"type": "like"}, "filters.type"),
        ({"type": "and"}, "filters.filters"),
        ({"type": "and", "filters": []}, "filters.filters"),
        ({"type": "or", "filters": [ONE, 5]}, "filters.filters.1"),
        ({"type": "or", "filters": [{"type": "eq", "value": 1}]}, "filters.filters.0.key"),
        ({"type": "eq", "key": "", "value": 1}, "filters.key"),
        ({"type": "eq", "key": "k" * 65, "value": 1}, "filters.key"),
        ({"type": "eq", "key": "a", "value": None}, "filters.value"),
        ({"type": "eq", "key": "a", "value": ["x"]}, "filters.value"),
        ({"type": "eq", "key": "a", "value": "x" * 513}, "filters.value"),
        ({"type": "in", "key": "a", "value": "x"}, "filters.value"),
        ({"type": "in", "key": "a", "value": [{}]}, "filters.value"),
        ({"type": "nin", "key": "a", "value": ["x"] * (COUNT + 1)}, "filters.value"),
        (nested(DEPTH + 1), "filters"),
        ({"type": "or", "filters": [ONE] * (COUNT + 1)}, "filters"),
    ],
)
def test_what_is_wrong_is_named(given, param):
    """A filter that is malformed, too deep or too large is refused where it is wrong."""
    with pytest.raises(InvalidRequest) as caught:
        condition(given)
    assert caught.value.param == param
