"""What requests about vector stores hold."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from localai.api.openai.fields import Body, Whole
from localai.service.attached import Attachment
from localai.service.chunking import LARGEST, SMALLEST, Rule
from localai.service.ranking import Weights

AT_CREATION = 500
"""Files that a store may be made with."""
BATCH = 2000
"""Files of one batch."""
QUERIES = 16
"""Questions of one search."""

Id = Annotated[str, Field(min_length=1, max_length=64)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Metadata = Annotated[dict[Key, Annotated[str, StringConstraints(max_length=512)]], Field(max_length=16)]
Attribute = bool | float | Annotated[str, StringConstraints(max_length=512)]
Attributes = Annotated[dict[Key, Attribute], Field(max_length=16)]
Question = Annotated[str, Field(min_length=1, max_length=32_768)]


class Expiry(Body):
    """When a store goes: so many days after it was last used."""

    anchor: Literal["last_active_at"]
    days: Annotated[Whole, Field(ge=1, le=365)]


class Static(Body):
    """How to cut, in tokens."""

    max_chunk_size_tokens: Annotated[Whole, Field(ge=SMALLEST, le=LARGEST)]
    chunk_overlap_tokens: Annotated[Whole, Field(ge=0)]

    @model_validator(mode="after")
    def _halved(self) -> Self:
        if self.chunk_overlap_tokens > self.max_chunk_size_tokens // 2:
            raise PydanticCustomError("overlap", "may overlap by half of `max_chunk_size_tokens` at most")
        return self


class Chunking(Body):
    """How files are cut: `auto` by what the embedding model takes, `static` by given numbers."""

    type: Literal["auto", "static"]
    static: Static | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "static" and self.static is None:
            raise PydanticCustomError("static", "needs `static` with the numbers")
        return self

    def rule(self) -> Rule | None:
        """The numbers; None for `auto`."""
        if self.static is None or self.type == "auto":
            return None
        return Rule(size=self.static.max_chunk_size_tokens, overlap=self.static.chunk_overlap_tokens)


class StoreBody(Body):
    """A new store. `embedding_model` is ours: OpenAI has but one."""

    name: Annotated[str, Field(max_length=256)] | None = None
    description: Annotated[str, Field(max_length=4096)] | None = None
    file_ids: Annotated[list[Id], Field(max_length=AT_CREATION)] | None = None
    chunking_strategy: Chunking | None = None
    expires_after: Expiry | None = None
    metadata: Metadata | None = None
    embedding_model: Annotated[str, Field(min_length=1, max_length=512)] | None = None


class ChangeBody(Body):
    """What is to change of a store; what is left out stays."""

    name: Annotated[str, Field(max_length=256)] | None = None
    expires_after: Expiry | None = None
    metadata: Metadata | None = None


class AttachBody(Body):
    """A file for a store."""

    file_id: Id
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None

    def attachment(self) -> Attachment:
        """What the service attaches."""
        return attachment(self.file_id, self.attributes, self.chunking_strategy)


class AttributesBody(Body):
    """The new attributes of a file."""

    attributes: Attributes | None


class BatchBody(Body):
    """Many files: as ids that share attributes and chunking, or each with its own."""

    file_ids: Annotated[list[Id], Field(min_length=1, max_length=BATCH)] | None = None
    files: Annotated[list[AttachBody], Field(min_length=1, max_length=BATCH)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.file_ids is None) is (self.files is None):
            raise PydanticCustomError("files", "needs either `file_ids` or `files`")
        return self

    def attachments(self) -> list[Attachment]:
        """What the service attaches."""
        if self.files is not None:
            return [file.attachment() for file in self.files]
        return [attachment(file, self.attributes, self.chunking_strategy) for file in self.file_ids or ()]


class Hybrid(Body):
    """How much meaning and words count."""

    embedding_weight: Annotated[float, Field(ge=0, le=1e6)]
    text_weight: Annotated[float, Field(ge=0, le=1e6)]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.embedding_weight + self.text_weight:
            raise PydanticCustomError("weights", "needs one weight above 0")
        return self


class Ranking(Body):
    """How results are ordered: `none` by vectors alone, any other ranker by vectors and words."""

    ranker: Annotated[str, Field(max_length=64)] | None = None
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    hybrid_search: Hybrid | None = None

    def weights(self) -> Weights:
        """What the service searches by."""
        if self.ranker == "none":
            return Weights(plain=True)
        if self.hybrid_search is None:
            return Weights()
        return Weights(meaning=self.hybrid_search.embedding_weight, words=self.hybrid_search.text_weight)


class SearchBody(Body):
    """A search. `rewrite_query` is accepted; queries are searched as they are."""

    query: Question | Annotated[list[Question], Field(min_length=1, max_length=QUERIES)]
    filters: dict[str, Any] | None = None
    max_num_results: Annotated[Whole, Field(ge=1, le=50)] | None = None
    ranking_options: Ranking | None = None
    rewrite_query: bool | None = None


def attachment(file: str, attributes: Attributes | None, chunking: Chunking | None) -> Attachment:
    """What the service attaches."""
    return Attachment(file=file, attributes=dict(attributes or {}), rule=None if chunking is None else chunking.rule())
