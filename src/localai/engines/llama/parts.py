"""A model in several files: llama.cpp finds the others by the name of the first, so each gets the name it expects."""

import contextlib
from pathlib import Path

import msgspec

from localai.core.model import Model


def joined(model: Model, folder: Path) -> Model:
    """The model with its parts (roles "model", "model.2", ...) linked in `folder` as NAME-00001-of-0000N.gguf.

    A model in one file is given back as it is. The store names files by their hashes, which tell no order.
    """
    roles = ["model"]
    while (role := f"model.{len(roles) + 1}") in model.files:
        roles.append(role)
    if len(roles) == 1:
        return model
    links = [folder / f"model-{number:05}-of-{len(roles):05}.gguf" for number in range(1, len(roles) + 1)]
    for role, link in zip(roles, links, strict=True):
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(model.files[role])
    return msgspec.structs.replace(model, files={**model.files, "model": str(links[0])})
