"""What the operator can see in numbers: every Prometheus series of the server, by its own and the OpenTelemetry names.

Labels are bounded: a model that nobody installed counts as "unknown", and a series takes at most `LABELS` models.
"""

import time
from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from localai.observe.logs import lost

LABELS = 1000
"""Different model names that are told apart; a server with more installed counts the rest as "other"."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)


class Metrics:
    """All series, in a registry of their own. Every method is cheap, never raises and may be called from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._models: set[str] = {"", "unknown", "other"}
        self._started = time.monotonic()
        self._http()
        self._generation()
        self._fleet()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Process(self._started))

    def _http(self) -> None:
        route = ("route", "method", "status", "model")
        self._requests = Counter("localai_requests_total", "Requests answered.", route, registry=self.registry)
        self._seconds = Histogram(
            "localai_request_seconds",
            "Seconds from the first byte of a request to the last of its answer.",
            ("route", "method"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._api_call = Histogram(
            "api_call",
            "Seconds of API calls, by LocalAI's name.",
            ("method", "path"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._open = Gauge("localai_connections", "Open client connections.", registry=self.registry)
        self._dropped = Counter(
            "localai_connections_dropped_total", "Connections cut or refused.", ("reason",), registry=self.registry
        )
        self._unknown = Counter(
            "localai_unknown_fields_total", "Request fields nobody knows, dropped.", ("route",), registry=self.registry
        )

    def _generation(self) -> None:
        labels = ("gen_ai_operation_name", "gen_ai_request_model", "gen_ai_response_model")
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Seconds a request of a model took.",
            (*labels, "error_type"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._first = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Seconds to the first token.",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )
        self._each = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Seconds per token after the first.",
            labels,
            buckets=PER_TOKEN,
            registry=self.registry,
        )
        self._usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a request.",
            (*labels, "gen_ai_token_type"),
            buckets=TOKENS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "localai_tokens_total", "Tokens read, generated and reused.", ("model", "kind"), registry=self.registry
        )

    def _fleet(self) -> None:
        model = ("model",)
        self._depth = Gauge("localai_queue_depth", "Requests that wait for a model.", model, registry=self.registry)
        self._waits = Histogram(
            "localai_queue_wait_seconds",
            "Seconds waited for a model.",
            model,
            buckets=SECONDS,
            registry=self.registry,
        )
        self._memory = Gauge("localai_model_memory_bytes", "Memory a model takes.", model, registry=self.registry)
        self._loaded = Gauge("localai_model_loaded", "1 while a model is loaded.", model, registry=self.registry)
        self._load = Histogram(
            "localai_model_load_seconds", "Seconds a load took.", model, buckets=SECONDS, registry=self.registry
        )
        self._loads = Counter("localai_loads_total", "Loads of models.", ("model", "outcome"), registry=self.registry)
        self._evictions = Counter(
            "localai_evictions_total", "Models unloaded for others.", model, registry=self.registry
        )
        self._crashes = Counter(
            "localai_crashes_total", "Engine processes that died.", ("model", "signal"), registry=self.registry
        )
        self._refusals = Counter(
            "localai_refusals_total", "Requests refused before they ran.", ("model", "code"), registry=self.registry
        )

    def _model(self, name: str) -> str:
        """`name` while the set of names is small, "other" past that: a label is memory for ever."""
        if name not in self._models:
            if len(self._models) >= LABELS:
                return "other"
            self._models.add(name)
        return name

    def request(self, route: str, method: str, status: int, model: str, seconds: float) -> None:
        """Count a finished request. `route` is the template of the row, never a path of a client."""
        method = method if method in METHODS else "other"
        self._requests.labels(route, method, str(status), self._model(model)).inc()
        self._seconds.labels(route, method).observe(seconds)
        self._api_call.labels(method, route).observe(seconds)

    def answered(self, model: str, operation: str, seconds: float, error: str = "") -> None:
        """Count what a model was asked: `operation` is a verb of `core.task`, `error` the code of its failure."""
        name = self._model(model)
        self._duration.labels(operation, name, name, error).observe(seconds)

    def first_token(self, model: str, seconds: float) -> None:
        """Note the time from a request's arrival to its first token."""
        name = self._model(model)
        self._first.labels("chat", name, name).observe(seconds)

    def per_token(self, model: str, seconds: float) -> None:
        """Note a request's mean time per token after the first."""
        name = self._model(model)
        self._each.labels("chat", name, name).observe(seconds)

    def tokens(self, model: str, prompt: int, completion: int, cached: int) -> None:
        """Count the tokens of a request; `cached` of `prompt` came from the cache."""
        name = self._model(model)
        for kind, count in (("prompt", prompt), ("completion", completion), ("cached", cached)):
            self._tokens.labels(name, kind).inc(max(count, 0))
        self._usage.labels("chat", name, name, "input").observe(prompt)
        self._usage.labels("chat", name, name, "output").observe(completion)

    def queue(self, model: str, depth: int) -> None:
        """Set how many requests wait for a model."""
        self._depth.labels(self._model(model)).set(depth)

    def waited(self, model: str, seconds: float) -> None:
        """Note how long a request waited for its model."""
        self._waits.labels(self._model(model)).observe(seconds)

    def loaded(self, model: str, memory: int) -> None:
        """Set the bytes a model really takes; 0 means it is not loaded."""
        name = self._model(model)
        self._memory.labels(name).set(memory)
        self._loaded.labels(name).set(1 if memory else 0)

    def load(self, model: str, seconds: float, outcome: str) -> None:
        """Count a load; `outcome` is "ok" or the code of the error."""
        name = self._model(model)
        self._loads.labels(name, outcome).inc()
        self._load.labels(name).observe(seconds)

    def evicted(self, model: str) -> None:
        """Count a model that was unloaded to make room."""
        self._evictions.labels(self._model(model)).inc()

    def crashed(self, model: str, signal: str) -> None:
        """Count an engine process that died; `signal` is its name ("SIGKILL") or "exit N"."""
        self._crashes.labels(self._model(model), signal).inc()

    def refused(self, model: str, code: str) -> None:
        """Count a request that was refused with that error code before it ran."""
        self._refusals.labels(self._model(model), code).inc()

    def connections(self, count: int) -> None:
        """Set the number of open client connections."""
        self._open.set(count)

    def dropped(self, reason: Literal["headers", "body", "write", "idle", "limit", "malformed"]) -> None:
        """Count a connection that was cut or refused, by why."""
        self._dropped.labels(reason).inc()

    def unknown_fields(self, route: str, count: int) -> None:
        """Count fields of request bodies that no one knows and that were dropped."""
        self._unknown.labels(route).inc(count)

    def render(self) -> bytes:
        """Everything in Prometheus' text format (UTF-8)."""
        return generate_latest(self.registry)


class _Process(Collector):
    """What is computed when asked: the time since the start, and the log records nobody took."""

    def __init__(self, started: float) -> None:
        self._started = started

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "localai_uptime_seconds", "Seconds since the start.", value=time.monotonic() - self._started
        )
        yield CounterMetricFamily("localai_log_records_dropped", "Log records lost.", value=lost())
