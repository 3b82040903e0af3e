"""The routes of what clients store: files, uploads and batches."""

from localai.api.files.batching import BatchBody, Batching
from localai.api.files.keeping import ChangeBody, Keeping
from localai.api.files.stored import Filed
from localai.api.files.uploading import CompletionBody, UploadBody, Uploading
from localai.api.table import Row
from localai.service.batches import Batches
from localai.service.files import Files
from localai.service.uploads import PART, Uploads

_TAG = "Files"
_BYTES = ("application/octet-stream",)
_ROOM = 2**20
"""Bytes of a form around its file."""


def rows(files: Files, uploads: Uploads, batches: Batches, keeping: Keeping) -> list[Row]:
    """The rows."""
    filed, uploading, batching = Filed(files), Uploading(uploads), Batching(batches)
    file, upload, batch = "/v1/files/{file}", "/v1/uploads/{upload}", "/v1/batches/{batch}"
    chats, chat = "/v1/chat/completions", "/v1/chat/completions/{completion}"
    return [
        Row("POST", "/v1/files", filed.add, "infer", "Store a file", tag=_TAG),
        Row("GET", "/v1/files", filed.page, "infer", "List the stored files", tag=_TAG),
        Row("GET", file, filed.one, "infer", "Describe a file", tag=_TAG),
        Row("GET", f"{file}/content", filed.content, "infer", "Get a file", tag=_TAG, media=_BYTES),
        Row("DELETE", file, filed.remove, "infer", "Delete a file", tag=_TAG),
        Row("POST", "/v1/uploads", uploading.add, "infer", "Begin a large file", UploadBody, _TAG),
        Row("POST", f"{upload}/parts", uploading.add_part, "infer", "Store a part of a large file", tag=_TAG),
        Row("POST", f"{upload}/complete", uploading.complete, "infer", "Put a file together", CompletionBody, _TAG),
        Row("POST", f"{upload}/cancel", uploading.cancel, "infer", "Drop a large file", tag=_TAG),
        Row("POST", "/v1/batches", batching.add, "infer", "Begin a batch of requests", BatchBody, _TAG),
        Row("GET", "/v1/batches", batching.page, "infer", "List the batches", tag=_TAG),
        Row("GET", batch, batching.one, "infer", "Describe a batch", tag=_TAG),
        Row("POST", f"{batch}/cancel", batching.cancel, "infer", "Cancel a batch", tag=_TAG),
        Row("GET", chats, keeping.page, "infer", "List the stored answers", tag=_TAG),
        Row("GET", chat, keeping.one, "infer", "Get a stored answer", tag=_TAG),
        Row("POST", chat, keeping.change, "infer", "Note something at a stored answer", ChangeBody, _TAG),
        Row("DELETE", chat, keeping.remove, "infer", "Delete a stored answer", tag=_TAG),
        Row("GET", f"{chat}/messages", keeping.messages, "infer", "What a stored answer was given", tag=_TAG),
    ]


def large(limit: int) -> dict[str, int]:
    """The limits of bodies for the paths that take files of at most `limit` bytes."""
    return {r"(/v1)?/files": limit + _ROOM, r"(/v1)?/uploads/[^/]+/parts": PART + _ROOM}
