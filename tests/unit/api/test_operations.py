"""Health, metrics, version."""

import pytest

from localai.api import operations
from localai.api.readiness import Readiness
from localai.observe.metrics import Metrics
from wire_server import serving


@pytest.fixture
def readiness():
    return Readiness()


@pytest.fixture
async def gateway(readiness):
    async with serving(operations.rows(readiness, Metrics(), "1.2.3")) as running:
        yield running


async def test_ready(gateway, readiness):
    """Readiness is 503 with the reasons until nothing is missing; liveness and health are 200 all along."""
    got = await gateway.ask("GET", "/readyz")
    assert (got.status, got.json()["missing"]) == (503, ["store", "fleet"])
    assert (await gateway.ask("GET", "/livez")).status == 200
    assert (await gateway.ask("GET", "/healthz")).json() == {"status": "degraded", "missing": ["store", "fleet"]}
    readiness.store = readiness.fleet = True
    assert (await gateway.ask("GET", "/readyz")).status == 200
    assert (await gateway.ask("GET", "/healthz")).json()["status"] == "ok"
    readiness.draining = True
    assert (await gateway.ask("GET", "/readyz")).json()["missing"] == ["draining"]


async def test_version(gateway):
    """The version and a word of welcome need no key."""
    assert (await gateway.ask("GET", "/version")).json() == {"version": "1.2.3"}
    assert b"1.2.3" in (await gateway.ask("GET", "/", headers={"accept": "text/html,*/*;q=0.8"})).body


async def test_ollama_is_running(gateway):
    """Whoever does not ask for a page first is told what clients of Ollama look for."""
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json, text/html"}):
        got = await gateway.ask("GET", "/", headers=headers)
        assert (got.status, got.body) == (200, b"Ollama is running")
        assert got.headers["content-type"].startswith("text/plain")


async def test_metrics(gateway):
    """The figures need the scope `metrics` and come in Prometheus' format."""
    assert (await gateway.ask("GET", "/metrics")).status == 401
    got = await gateway.ask("GET", "/metrics", headers={"x-api-key": "sk-metrics"})
    assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"localai_connections" in got.body
