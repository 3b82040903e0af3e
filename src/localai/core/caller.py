"""Who asks: the one value the authenticator makes and every service trusts."""

from typing import Literal

from localai.core.errors import Forbidden, ModelNotFound
from localai.core.task import Value

Scope = Literal["public", "infer", "models", "metrics", "admin"]
"""public: no key needed. infer: use models. models: install, load, stop, remove. metrics: read /metrics. admin: all."""


class Caller(Value, frozen=True):
    """An authenticated identity. `owner` is what stored things belong to."""

    id: str
    owner: str
    scopes: frozenset[Scope] = frozenset()
    models: tuple[str, ...] | None = None
    """Names this caller may use; None means all."""

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless this caller has `scope` (admin has all)."""
        if scope != "public" and scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(
                f"This API key lacks the scope `{scope}`; make one with `localai keys create --scope {scope}`."
            )

    def allows(self, model: str) -> bool:
        """Whether this caller may use the model of that name."""
        return self.models is None or model in self.models

    def require_model(self, model: str) -> None:
        """Raise ModelNotFound (a model one may not use does not exist) unless `allows(model)`."""
        if not self.allows(model):
            raise ModelNotFound(f"The model `{model}` does not exist or this API key may not use it.", param="model")


LOCAL = Caller(id="local", owner="local", scopes=frozenset(("admin",)))
"""The caller of an open server (`--open`, loopback only)."""
