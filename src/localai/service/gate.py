"""A toolbox that does not open for everything: some calls need somebody to agree, and all are counted."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from localai.core.caller import Caller
from localai.core.task import Call
from localai.service.toolbox import Called, Calling, Server, Toolbox


class Gate(Toolbox):
    """Tools that models see; a call of one that is guarded is not made by the loop, but passed on like the client's."""

    def __init__(
        self,
        servers: Sequence[Server],
        taken: Iterable[str] = (),
        allowed: Mapping[str, Sequence[str] | None] | None = None,
        free: Mapping[str, Collection[str] | None] | None = None,
        most: int | None = None,
    ) -> None:
        """Collect the tools; see `Toolbox`.

        Args:
            servers: Where they are called.
            taken: Names of the client's own tools.
            allowed: By server, the only tools to offer.
            free: By server, the tools that run unasked; None, or a server that is left out: all.
            most: Calls that are made at most; further ones have an error as their result. None: any number.

        Raises:
            InvalidRequest: There are more than a request may have.
        """
        super().__init__(servers, taken, allowed)
        self._left = most
        self._known = {tool.name: self.calling(Call(id="", name=tool.name, arguments="")) for tool in self.tools}
        self.guarded = {
            name: known for name, known in self._known.items() if not _runs(known, (free or {}).get(known.server))
        }
        """What is not called unasked, by the name that the model knows it by."""

    @property
    def mixed(self) -> bool:
        """Whether some tools are guarded and others are not."""
        return 0 < len(self.guarded) < len(self._known)

    def holds(self, name: str) -> bool:
        """Whether a tool of that name is called here and now."""
        return name not in self.guarded and super().holds(name)

    def names(self, server: str, tool: str | None = None) -> list[str]:
        """The names by which the model knows the tools (or that tool) of a server."""
        return [name for name, known in self._known.items() if known.server == server and tool in {None, known.tool}]

    async def call(self, caller: Caller, call: Call) -> Called:
        """Make a call, if there may be one more."""
        if self._left is None:
            return await super().call(caller, call)
        if self._left == 0:
            said = "No more calls are made for this request; answer with what there is."
            return Called(**msgspec.structs.asdict(self.calling(call)), output=said, error=True)
        self._left -= 1
        return await super().call(caller, call)


def _runs(known: Calling, free: Collection[str] | None) -> bool:
    return free is None or known.tool in free
