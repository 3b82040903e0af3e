"""Rights of a caller."""

import pytest

from localai.core.caller import LOCAL, Caller
from localai.core.errors import Forbidden, ModelNotFound


def test_a_scope_that_was_not_given_is_refused():
    """A caller without the scope is told which one it lacks."""
    with pytest.raises(Forbidden, match="models"):
        Caller(id="a", owner="a", scopes=frozenset(("infer",))).require("models")


def test_admin_has_every_scope():
    """The scope admin includes all others, and no other scope includes admin."""
    for scope in ("public", "infer", "models", "metrics", "admin"):
        LOCAL.require(scope)
    for scope in ("infer", "models", "metrics"):
        with pytest.raises(Forbidden, match="admin"):
            Caller(id="a", owner="a", scopes=frozenset((scope,))).require("admin")


def test_public_needs_nothing():
    """A public route is open to a caller without any scope, and nothing else is."""
    nobody = Caller(id="a", owner="a")
    nobody.require("public")
    for scope in ("infer", "models", "metrics", "admin"):
        with pytest.raises(Forbidden):
            nobody.require(scope)


def test_a_model_outside_the_list_does_not_exist():
    """A key limited to some models gets not-found for others, so that names do not leak."""
    caller = Caller(id="a", owner="a", models=("x",))
    caller.require_model("x")
    with pytest.raises(ModelNotFound):
        caller.require_model("y")
