"""Models in the shape of LM Studio's REST API, version 1."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from localai.service.about import About
from localai.service.errands import Installation
from localai.service.install import InstallProgress

_PHASES: Mapping[str, str] = {"installed": "completed", "failed": "failed"}


def row(about: About) -> dict[str, Any]:
    """One model; sizes are bytes, lengths tokens."""
    model, header = about.model, about.header
    generates = {"chat", "complete"} & set(model.tasks)
    publisher = model.name.rpartition("/")[0].rpartition("/")[2]
    found: dict[str, Any] = {
        "type": "embedding" if "embed" in model.tasks and not generates else "llm",
        "publisher": publisher,
        "key": model.name,
        "display_name": model.name.rpartition("/")[2],
        "architecture": header.architecture if header else None,
        "quantization": {"name": header.quantisation, "bits_per_weight": None} if header else None,
        "size_bytes": model.size,
        "params_string": _parameters(header.parameters) if header else None,
        "loaded_instances": [instance(about)] if about.state == "ready" else [],
        "max_context_length": (header.context if header else 0) or about.context,
        "format": "gguf" if header else None,
        "description": None,
    }
    if found["type"] == "llm":
        found["capabilities"] = {"vision": "image" in about.inputs, "trained_for_tool_use": "chat" in model.tasks}
    return found


def instance(about: About) -> dict[str, Any]:
    """The process that holds a model; there is at most one, and it is called as the model."""
    return {"id": about.model.name, "config": config(about)}


def config(about: About) -> dict[str, Any]:
    """What the model was really given."""
    return {"context_length": about.context, "parallel": about.running.slots if about.running else None}


def _parameters(count: int) -> str | None:
    """A number of weights as people write it: 135M, 7.2B."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count) if count else None


def begun(installation: Installation) -> dict[str, Any]:
    """The answer to a download that was begun; one that is there already has no job."""
    step = installation.progress
    if step.already:
        return {"status": "already_downloaded"}
    return {
        "job_id": installation.id,
        "status": _status(step),
        "total_size_bytes": step.total,
        "started_at": _time(installation.started),
    }


def job(installation: Installation) -> dict[str, Any]:
    """How far a download is."""
    step = installation.progress
    done = step.total if step.phase == "installed" and step.total else step.done
    found: dict[str, Any] = {
        "job_id": installation.id,
        "status": _status(step),
        "total_size_bytes": step.total,
        "downloaded_bytes": done,
        "started_at": _time(installation.started),
    }
    if installation.ended is not None:
        found["completed_at"] = _time(installation.ended)
    if step.error is not None:
        found["error"] = step.error
    return found


def _status(step: InstallProgress) -> str:
    return _PHASES.get(step.phase, "downloading")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
