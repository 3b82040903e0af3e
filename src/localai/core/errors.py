"""The one tree of errors: a class is a case, with its HTTP status, its code and whether a retry can help.

The docstring of a class is the message a user reads when the raiser gives no better one. No message ever
contains the text of another exception: what a client sees is written here or by the raiser, on purpose.
"""

from typing import ClassVar


class LocalAIError(Exception):
    """Something went wrong inside the server."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "server_error"
    """OpenAI's `type`: invalid_request_error, authentication_error, rate_limit_error, server_error, ..."""
    retry: ClassVar[bool] = False
    """True when the same request may succeed later."""

    def __init__(
        self, message: str | None = None, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        """Build the error.

        Args:
            message: One sentence for the user: what happened and what to do. Defaults to the class docstring.
            param: The request field at fault, as a path ("messages.0.content").
            retry_after: Seconds after which a retry makes sense.
        """
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.param = param
        self.retry_after = retry_after
        super().__init__(self.message)


class InternalError(LocalAIError):
    """The server failed in a way it did not foresee; the log has the details under this request's id."""


class InvalidRequest(LocalAIError):
    """The request is not valid."""

    status = 400
    code = "invalid_value"
    kind = "invalid_request_error"


class MalformedBody(InvalidRequest):
    """The body is not valid JSON."""

    code = "invalid_json"


class MalformedRequest(InvalidRequest):
    """This is not a valid HTTP request."""

    code = "malformed_request"


class UnsupportedSchema(InvalidRequest):
    """This JSON schema or grammar cannot be enforced."""

    code = "unsupported_schema"


class ContextLengthExceeded(InvalidRequest):
    """The prompt does not fit into the context of this model."""

    code = "context_length_exceeded"


class TaskNotSupported(InvalidRequest):
    """This model cannot do what was asked."""

    code = "task_not_supported"


class Unauthenticated(LocalAIError):
    """Missing or wrong API key."""

    status = 401
    code = "invalid_api_key"
    kind = "authentication_error"


class Forbidden(LocalAIError):
    """This API key may not do that."""

    status = 403
    code = "insufficient_scope"
    kind = "permission_error"


class OriginNotAllowed(Forbidden):
    """Requests from this web origin are not allowed; add it to `allowed_origins`."""

    code = "origin_not_allowed"


class NotFound(LocalAIError):
    """There is nothing here."""

    status = 404
    code = "not_found"
    kind = "invalid_request_error"


class ModelNotFound(NotFound):
    """No such model; `localai list` shows what is installed and `localai pull` installs more."""

    code = "model_not_found"


class MethodNotAllowed(LocalAIError):
    """This path does not take that method."""

    status = 405
    code = "method_not_allowed"
    kind = "invalid_request_error"


class RequestTimeout(LocalAIError):
    """The request took too long to arrive."""

    status = 408
    code = "request_timeout"
    kind = "invalid_request_error"
    retry = True


class Conflict(LocalAIError):
    """That is not possible while something else is going on."""

    status = 409
    code = "conflict"
    kind = "invalid_request_error"


class PayloadTooLarge(LocalAIError):
    """The request is larger than this server takes."""

    status = 413
    code = "payload_too_large"
    kind = "invalid_request_error"


class TooManyChunks(PayloadTooLarge):
    """The body comes in too many too small chunks."""

    code = "too_many_chunks"


class HeadTooLarge(LocalAIError):
    """The headers of this request are too many or too large."""

    status = 431
    code = "headers_too_large"
    kind = "invalid_request_error"


class UnsupportedMediaType(LocalAIError):
    """This content type or encoding is not taken here."""

    status = 415
    code = "unsupported_media_type"
    kind = "invalid_request_error"


class HostNotAllowed(LocalAIError):
    """This Host is not served here; add it to `allowed_hosts`."""

    status = 421
    code = "host_not_allowed"
    kind = "invalid_request_error"


class InvalidModel(LocalAIError):
    """The model file is damaged, hostile or of a kind that is not supported."""

    status = 422
    code = "invalid_model"
    kind = "invalid_request_error"


class RateLimited(LocalAIError):
    """Too many requests."""

    status = 429
    code = "rate_limit_exceeded"
    kind = "rate_limit_error"
    retry = True


class Overloaded(LocalAIError):
    """The queue for this model is full."""

    status = 503
    code = "overloaded"
    retry = True


class ModelUnavailable(LocalAIError):
    """This model keeps failing and rests for a while before it is started again."""

    status = 503
    code = "model_unavailable"
    retry = True


class ShuttingDown(LocalAIError):
    """The server is shutting down."""

    status = 503
    code = "server_shutting_down"
    retry = True


class ModelLoadFailed(LocalAIError):
    """The model could not be loaded."""

    status = 500
    code = "model_load_failed"


class EngineCrashed(LocalAIError):
    """The process that ran this model died in the middle of the request."""

    status = 502
    code = "engine_crashed"
    retry = True


class AnswerTooLarge(LocalAIError):
    """The engine wrote more than an answer may hold; the answer was ended."""

    status = 502
    code = "answer_too_large"


class EngineStalled(LocalAIError):
    """The process that ran this model stopped making progress and was killed."""

    status = 504
    code = "engine_stalled"
    retry = True


class GenerationTimeout(LocalAIError):
    """The answer took longer than this server allows."""

    status = 504
    code = "generation_timeout"


class Cancelled(LocalAIError):
    """The request was cancelled."""

    status = 499
    code = "cancelled"


class NotInstalled(LocalAIError):
    """This needs an optional part of LocalAI that is not installed."""

    status = 501
    code = "not_installed"


class NotEnoughMemory(LocalAIError):
    """There is not enough memory for this model on this machine."""

    status = 507
    code = "not_enough_memory"


class NotEnoughDisk(LocalAIError):
    """There is not enough free disk space."""

    status = 507
    code = "not_enough_disk"


class FetchRefused(LocalAIError):
    """This address may not be fetched."""

    status = 400
    code = "address_refused"
    kind = "invalid_request_error"


class FetchFailed(LocalAIError):
    """The file could not be fetched."""

    status = 502
    code = "fetch_failed"
    retry = True


class HashMismatch(FetchFailed):
    """What was fetched is not what was promised: the hash differs."""

    code = "hash_mismatch"
    retry = False


class StorageFailed(LocalAIError):
    """The server could not read or write its own state."""

    status = 503
    code = "storage_failed"


def _tree(root: type[LocalAIError]) -> dict[str, type[LocalAIError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        for code, case in _tree(child).items():
            found.setdefault(code, case)
    return found


def from_code(code: str, message: str, *, param: str | None = None, retry_after: float | None = None) -> LocalAIError:
    """Rebuild an error that crossed a process boundary; an unknown code becomes `InternalError`."""
    case = BY_CODE.get(code, InternalError)
    return case(message, param=param, retry_after=retry_after)


BY_CODE = _tree(LocalAIError) | {InternalError.code: InternalError}
"""Every error code and its class; the reference page of errors is generated from it."""
