"""The routes of Ollama's API."""

from localai.api.ollama import chat, create, embed, generate, pull, show
from localai.api.ollama.answers import Answers
from localai.api.ollama.blobs import Uploads
from localai.api.ollama.fields import Named
from localai.api.ollama.models import Models
from localai.api.table import Row
from localai.service.intake import Intake
from localai.service.library import Library
from localai.service.manage import Manage
from localai.service.media import Media
from localai.service.perform import Perform

_TAG = "Ollama"
_BLOB = "/api/blobs/{digest}"


def rows(perform: Perform, manage: Manage, library: Library, intake: Intake, media: Media | None = None) -> list[Row]:
    """The rows of this dialect; without `media`, addresses of images are refused."""
    answers = Answers(perform, media or Media())
    models = Models(perform, manage, library)
    uploads = Uploads(intake)
    return [
        Row("POST", "/api/chat", answers.chat, "infer", "Answer a conversation", chat.ChatBody, _TAG),
        Row("POST", "/api/generate", answers.generate, "infer", "Continue a prompt", generate.GenerateBody, _TAG),
        Row("POST", "/api/embed", answers.embed, "infer", "Turn texts into vectors", embed.EmbedBody, _TAG),
        Row("POST", "/api/embeddings", answers.embeddings, "infer", "The same, older", embed.EmbeddingsBody, _TAG),
        Row("GET", "/api/version", models.version, "public", "The version of Ollama's API", tag=_TAG),
        Row("GET", "/api/tags", models.tags, "infer", "What is installed", tag=_TAG),
        Row("GET", "/api/ps", models.running, "infer", "What is loaded", tag=_TAG),
        Row("POST", "/api/show", models.show, "infer", "Everything about a model", show.ShowBody, _TAG),
        Row("POST", "/api/pull", models.pull, "models", "Install a model", pull.PullBody, _TAG),
        Row("POST", "/api/push", models.push, "models", "Refused: no registry is written to", pull.PushBody, _TAG),
        Row("POST", "/api/create", models.create, "models", "Make a model of what is here", create.CreateBody, _TAG),
        Row("POST", "/api/copy", models.copy, "models", "Copy a model under another name", create.CopyBody, _TAG),
        Row("DELETE", "/api/delete", models.delete, "models", "Remove a model", Named, _TAG),
        Row("HEAD", _BLOB, uploads.check, "models", "Whether an uploaded file is here", tag=_TAG),
        Row("POST", _BLOB, uploads.take, "models", "Upload a file to make a model of", tag=_TAG),
    ]
