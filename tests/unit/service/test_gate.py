"""The toolbox of which some tools wait for an agreement."""

from localai.core.caller import LOCAL
from localai.core.task import Call
from localai.service.gate import Gate
from workshops import NOON, Desk


def call(name):
    return Call(id="c", name=name, arguments="{}")


def test_what_is_guarded_is_seen_but_not_held():
    """A guarded tool is offered to the model, and is not called by the loop."""
    gate = Gate([Desk()], free={"desk": ["clock"]})
    assert [tool.name for tool in gate.tools] == ["clock", "fails", "hangs"]
    assert [gate.holds(name) for name in ("clock", "fails", "other")] == [True, False, False]
    assert (set(gate.guarded), gate.mixed) == ({"fails", "hangs"}, True)
    assert (Gate([Desk()]).mixed, Gate([Desk()], free={"desk": []}).mixed) == (False, False)


def test_tools_are_found_by_their_names_at_the_server():
    """Also when the model knows a tool by another name, because the client has one of its own."""
    gate = Gate([Desk()], taken=["clock"])
    assert gate.names("desk") == ["desk_clock", "fails", "hangs"]
    assert (gate.names("desk", "clock"), gate.names("desk", "none"), gate.names("other")) == (["desk_clock"], [], [])


async def test_calls_are_counted():
    """Of more calls than are allowed the rest is not made, and says so."""
    desk = Desk()
    gate = Gate([desk], most=1)
    made = [await gate.call(LOCAL, call("clock")) for _ in range(3)]
    assert [(one.output == NOON, one.error) for one in made] == [(True, False), (False, True), (False, True)]
    assert len(desk.asked) == 1
    assert (await Gate([desk], most=0).call(LOCAL, call("clock"))).error
