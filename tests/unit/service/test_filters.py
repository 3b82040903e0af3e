"""Conditions on the attributes of files."""

import pytest

from localai.service.filters import Comparison, Compound, meets

FILE = {"author": "ann", "year": 2024, "draft": False, "rate": 2.5}


@pytest.mark.parametrize(
    ("kind", "key", "value", "met"),
    [
        ("eq", "author", "ann", True),
        ("eq", "author", "bob", False),
        ("ne", "author", "bob", True),
        ("eq", "year", 2024.0, True),
        ("eq", "draft", False, True),
        ("eq", "draft", 0, False),
        ("gt", "year", 2023, True),
        ("gte", "year", 2024, True),
        ("lt", "rate", 2.5, False),
        ("lte", "rate", 2.5, True),
        ("lt", "author", "bob", True),
        ("gt", "author", 1, False),
        ("gt", "draft", -1, False),
        ("eq", "missing", "x", False),
        ("ne", "missing", "x", True),
        ("gt", "missing", 0, False),
    ],
)
def test_a_comparison(kind, key, value, met):
    """Values of one kind compare; others are unequal; what is missing meets only `ne` and `nin`."""
    assert meets(FILE, Comparison(kind=kind, key=key, values=(value,))) is met


def test_several_values():
    """`in` is met by any of its values, `nin` by none of them."""
    assert meets(FILE, Comparison(kind="in", key="author", values=("bob", "ann")))
    assert not meets(FILE, Comparison(kind="nin", key="author", values=("bob", "ann")))
    assert meets(FILE, Comparison(kind="nin", key="missing", values=("bob",)))
    assert not meets(FILE, Comparison(kind="in", key="author", values=()))


def test_compounds_nest():
    """`and` needs all of its parts and `or` one, at any depth."""
    yes = Comparison(kind="eq", key="author", values=("ann",))
    no = Comparison(kind="eq", key="author", values=("bob",))
    assert meets(FILE, Compound(kind="and", parts=(yes, Compound(kind="or", parts=(no, yes)))))
    assert not meets(FILE, Compound(kind="and", parts=(yes, Compound(kind="or", parts=(no, no)))))
