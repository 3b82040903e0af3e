"""llama.cpp's router and LM Studio's API over the whole server: load, watch, unload, install, remove."""

import http.client
import json
import threading

import pytest

import ggufs
from gateway import gateway, write_echo


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A gateway with two echo models, one of them under `:latest`."""
    home = tmp_path_factory.mktemp("home")
    write_echo(home, "a", context=512, slots=2)
    write_echo(home, "b", aliases=["parrot"])
    with gateway(home) as running:
        yield running


class Watch:
    """Reads the events of the router in a thread of its own."""

    def __init__(self, house):
        self._connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
        self._connection.request("GET", "/models/sse", headers={"Authorization": f"Bearer {house.key}"})
        self._answer = self._connection.getresponse()
        assert self._answer.headers["content-type"].startswith("text/event-stream")
        self.seen = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in iter(self._answer.readline, b""):
            if line.startswith(b"data: "):
                with self._changed:
                    self.seen.append(json.loads(line[6:]))
                    self._changed.notify_all()

    def wait(self, **expected):
        """Return the first event that has all these values."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._found(expected), 60), (expected, self.seen)
            return self._found(expected)

    def _found(self, expected):
        return next((each for each in self.seen if expected.items() <= each.items()), None)

    def close(self):
        self._connection.sock.close()


@pytest.fixture
def watch(house):
    watching = Watch(house)
    yield watching
    watching.close()


def states(house):
    _, answer = house.ask("GET", "/models")
    return {row["id"]: row["status"]["value"] for row in answer["data"]}


def test_load_watch_unload(house, watch):
    """A load is begun, told as an event and seen in the list; an unload too, by the name with `:latest` as well."""
    watch.wait(model="a", event="model_status", data={"status": "unloaded"})
    assert house.ask("POST", "/models/load", {"model": "a:latest"}) == (200, {"success": True})
    watch.wait(model="a", event="model_status", data={"status": "loaded"})
    assert states(house)["a"] == "loaded"
    _, slots = house.ask("GET", "/slots?model=a&fail_on_no_slot=1")
    assert [slot["n_ctx"] for slot in slots] == [512, 512]
    _, props = house.ask("GET", "/props?model=a")
    assert (props["total_slots"], props["is_sleeping"]) == (2, False)
    assert house.ask("POST", "/models/unload", {"model": "a"}) == (200, {"success": True})
    assert states(house)["a"] == "unloaded"
    assert house.ask("GET", "/slots?model=a") == (200, [])


def test_install_and_remove(house, watch, tmp_path):
    """An installation is begun, told to its end and listed; removed, the model is told as gone."""
    data = ggufs.build()
    (tmp_path / "tiny.gguf").write_bytes(data)
    source = f"file:{tmp_path / 'tiny.gguf'}"
    assert house.ask("POST", "/models", {"model": source}) == (200, {"success": True})
    finished = watch.wait(model="tiny", event="download_finished")
    assert list(finished["data"]) == [source]
    watch.wait(model="*", event="models_reload")
    assert "tiny" in states(house)
    assert house.ask("DELETE", "/models?model=tiny") == (200, {"success": True})
    watch.wait(model="tiny", event="model_remove")
    assert "tiny" not in states(house)


def test_an_install_that_fails(house, watch, tmp_path):
    """An installation that fails is told as one."""
    (tmp_path / "bad.gguf").write_bytes(b"no model at all")
    assert house.ask("POST", "/models", {"model": f"file:{tmp_path / 'bad.gguf'}"})[0] == 200
    watch.wait(model="bad", event="download_failed")


def test_a_job_of_lm_studio(house, tmp_path):
    """A download of LM Studio has a job that can be asked until it is done; the same model again is there already."""
    path = tmp_path / "other.gguf"
    path.write_bytes(ggufs.build())
    status, begun = house.ask("POST", "/api/v1/models/download", {"model": f"file:{path}"})
    assert (status, begun["job_id"][:4]) == (200, "job_")
    found = begun
    while found["status"] == "downloading":
        _, found = house.ask("GET", f"/api/v1/models/download/status/{begun['job_id']}")
    assert found["status"] == "completed"
    assert house.ask("POST", "/api/v1/models/download", {"model": f"file:{path}"})[1] == {
        "status": "already_downloaded"
    }


def test_a_load_with_a_context(house):
    """LM Studio's load has room for the context it asks for, and tells what the model got."""
    body = {"model": "a", "context_length": 2000, "echo_load_config": True}
    status, answer = house.ask("POST", "/api/v1/models/load", body)
    assert (status, answer["status"], answer["instance_id"]) == (200, "loaded", "a")
    assert answer["load_config"]["context_length"] == 2048
    assert house.ask("POST", "/api/v1/models/unload", {"instance_id": "a"}) == (200, {"instance_id": "a"})


def test_a_key_for_use_changes_nothing(house):
    """A key that may only use models sees them, and can neither load nor install nor remove any."""
    _, user = house.ask("POST", "/api/admin/keys", {"name": "u", "scopes": ["infer"]})
    for method, path, body in (
        ("GET", "/api/v1/models/download/status/job_1", None),
        ("POST", "/models/load", {"model": "a"}),
        ("POST", "/models/unload", {"model": "a"}),
        ("POST", "/models", {"model": "starter"}),
        ("DELETE", "/models?model=a", None),
        ("DELETE", "/v1/models/a", None),
        ("POST", "/api/v1/models/load", {"model": "a"}),
    ):
        assert house.ask(method, path, body, Authorization=f"Bearer {user['secret']}")[0] == 403
    assert house.ask("GET", "/models", Authorization=f"Bearer {user['secret']}")[0] == 200


def test_openai_removes_a_model(house):
    """OpenAI's library removes a model; an alias cannot be removed, and what is gone is gone."""
    write_echo(house.home, "doomed")
    assert house.ask("DELETE", "/v1/models/parrot")[0] == 409
    assert house.ask("DELETE", "/v1/models/doomed") == (200, {"id": "doomed", "object": "model", "deleted": True})
    assert house.ask("GET", "/v1/models/doomed")[0] == 404


def test_a_watcher_does_not_hold_the_server_up(tmp_path):
    """A server that is told to stop does so although somebody follows its events."""
    write_echo(tmp_path)
    with gateway(tmp_path) as running:
        watching = Watch(running)
        watching.wait(model="echo", event="model_status")
        assert running.stop() == 0
        watching.close()


def test_behind_a_proxy(tmp_path):
    """With `root_path` every route answers under that path and without it, and the description names it."""
    write_echo(tmp_path)
    with gateway(tmp_path, root_path="/ai") as running:
        for path in ("/ai/v1/models", "/v1/models", "/ai/models"):
            assert running.ask("GET", path)[1]["data"][0]["id"] == "echo"
        _, document = running.ask("GET", "/ai/openapi.json")
        assert document["servers"] == [{"url": "/ai"}]
        _, document = running.ask("GET", "/openapi.json", X_Forwarded_Prefix="/x")
        assert document["servers"] == [{"url": "/x"}]
        body = {"messages": [{"role": "user", "content": "hi"}]}
        status, answer = running.ask("POST", "/ai/v1/models/echo/chat/completions", body)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "hi")
