"""Vector stores, their files and what is found in them, as OpenAI writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from localai.service.search import Found
from localai.storage.objects import Stored

PAGE = 64 * 1024
"""Characters of one item of a file's content."""

Counts = Mapping[str, tuple[int, int]]
"""Files and bytes by state."""

_STATES = ("in_progress", "completed", "failed", "cancelled")
_DAY = 86400


def store(stored: Stored, counts: Counts) -> dict[str, Any]:
    """A vector store; `embedding_model` and `description` are there besides OpenAI's fields."""
    facts = stored.payload
    days = facts["days"]
    return {
        "id": stored.id,
        "object": "vector_store",
        "created_at": int(stored.created),
        "name": facts["name"],
        "description": facts["description"],
        "usage_bytes": sum(size for _, size in counts.values()),
        "file_counts": file_counts(counts),
        "status": "in_progress" if "in_progress" in counts else "completed",
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": None if days is None else int(facts["active"] + days * _DAY),
        "last_active_at": int(facts["active"]),
        "metadata": facts["metadata"],
        "embedding_model": facts["model"],
    }


def file_counts(counts: Counts) -> dict[str, int]:
    """How many files are in which state."""
    numbers = {state: counts.get(state, (0, 0))[0] for state in _STATES}
    return {**numbers, "total": sum(numbers.values())}


def file(stored: Stored) -> dict[str, Any]:
    """A file in a store. Until it is decided how an `auto` file is cut, its strategy is `other`."""
    facts = stored.payload
    error = facts["error"]
    return {
        "id": facts["file"],
        "object": "vector_store.file",
        "created_at": int(stored.created),
        "vector_store_id": stored.parent,
        "status": stored.state,
        "usage_bytes": facts["usage_bytes"],
        "last_error": None if error is None else {"code": error[0], "message": error[1]},
        "attributes": facts["attributes"],
        "chunking_strategy": _strategy(facts["rule"]),
    }


def _strategy(rule: Sequence[int] | None) -> dict[str, Any]:
    if rule is None:
        return {"type": "other"}
    return {"type": "static", "static": {"max_chunk_size_tokens": rule[0], "chunk_overlap_tokens": rule[1]}}


def batch(stored: Stored, counts: Counts) -> dict[str, Any]:
    """A batch of files: in progress while one of them is, failed when all of them did."""
    if stored.state == "cancelled":
        status = "cancelled"
    elif "in_progress" in counts:
        status = "in_progress"
    else:
        status = "failed" if set(counts) == {"failed"} else "completed"
    return {
        "id": stored.id,
        "object": "vector_store.files_batch",
        "created_at": int(stored.created),
        "vector_store_id": stored.parent,
        "status": status,
        "file_counts": file_counts(counts),
    }


def content(text: str) -> dict[str, Any]:
    """The text of a file, in pieces that joined are the whole."""
    pieces = [text[start : start + PAGE] for start in range(0, len(text), PAGE)]
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": piece} for piece in pieces],
        "has_more": False,
        "next_page": None,
    }


def results(queries: Sequence[str], found: Sequence[Found]) -> dict[str, Any]:
    """What a search found."""
    return {
        "object": "vector_store.search_results.page",
        "search_query": list(queries),
        "data": [
            {
                "file_id": each.file,
                "filename": each.filename,
                "score": each.score,
                "attributes": each.attributes,
                "content": [{"type": "text", "text": each.text}],
            }
            for each in found
        ],
        "has_more": False,
        "next_page": None,
    }
