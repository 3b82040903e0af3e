"""The series of the server."""

from localai.observe import metrics as module
from localai.observe.metrics import Metrics


def _lines(metrics: Metrics) -> list[str]:
    return metrics.render().decode().splitlines()


def test_every_name_is_there():
    """LocalAI's, OpenTelemetry's and our own names are exposed once something happened."""
    metrics = Metrics()
    metrics.request("/v1/models", "GET", 200, "m", 0.1)
    metrics.answered("m", "chat", 1.0)
    metrics.first_token("m", 0.1)
    metrics.per_token("m", 0.01)
    metrics.tokens("m", 10, 5, 3)
    metrics.load("m", 1.0, "ok")
    metrics.waited("m", 0.5)
    text = metrics.render().decode()
    for name in (
        "localai_requests_total",
        "api_call_bucket",
        "gen_ai_server_request_duration_seconds_bucket",
        "gen_ai_server_time_to_first_token_seconds_bucket",
        "gen_ai_server_time_per_output_token_seconds_bucket",
        "gen_ai_client_token_usage_bucket",
        "localai_queue_wait_seconds_bucket",
        "localai_uptime_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
    ):
        assert f"\n{name}" in text, name


def test_values():
    """Each method moves the series it names, with the labels it was given."""
    metrics = Metrics()
    metrics.tokens("m", 10, 5, 3)
    metrics.queue("m", 4)
    metrics.loaded("m", 123)
    metrics.load("m", 1.0, "model_load_failed")
    metrics.evicted("m")
    metrics.crashed("m", "SIGKILL")
    metrics.refused("m", "overloaded")
    metrics.connections(7)
    metrics.dropped("idle")
    metrics.unknown_fields("/v1/x", 2)
    for line in (
        'localai_tokens_total{kind="cached",model="m"} 3.0',
        'localai_tokens_total{kind="completion",model="m"} 5.0',
        'localai_queue_depth{model="m"} 4.0',
        'localai_model_memory_bytes{model="m"} 123.0',
        'localai_model_loaded{model="m"} 1.0',
        'localai_loads_total{model="m",outcome="model_load_failed"} 1.0',
        'localai_evictions_total{model="m"} 1.0',
        'localai_crashes_total{model="m",signal="SIGKILL"} 1.0',
        'localai_refusals_total{code="overloaded",model="m"} 1.0',
        "localai_connections 7.0",
        'localai_connections_dropped_total{reason="idle"} 1.0',
        'localai_unknown_fields_total{route="/v1/x"} 2.0',
    ):
        assert line in _lines(metrics)


def test_unloaded():
    """A model that takes no memory is not loaded."""
    metrics = Metrics()
    metrics.loaded("m", 5)
    metrics.loaded("m", 0)
    assert 'localai_model_loaded{model="m"} 0.0' in _lines(metrics)


def test_labels_are_bounded(monkeypatch):
    """However many models and methods there are, the number of series is not theirs to choose."""
    monkeypatch.setattr(module, "LABELS", 10)
    metrics = Metrics()
    for number in range(100):
        metrics.queue(f"m{number}", 1)
        metrics.request("/", f"METHOD{number}", 200, "", 0.1)
    lines = _lines(metrics)
    assert sum(line.startswith("localai_queue_depth{") for line in lines) <= 10
    assert 'localai_queue_depth{model="other"} 1.0' in lines
    assert 'localai_requests_total{method="other",model="",route="/",status="200"} 100.0' in lines


def test_registries_are_apart():
    """Two servers in one process do not share their figures."""
    first, second = Metrics(), Metrics()
    first.connections(5)
    assert "localai_connections 0.0" in _lines(second)
