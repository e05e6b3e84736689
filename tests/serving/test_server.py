"""A running server on a loopback port: answers, refusals, and clients that behave badly."""

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from serving_helpers import JSON, Known, Server, running, until

from transfuse.answering import load_model
from transfuse.answering.predict import predict_texts
from transfuse.errors import ModelError
from transfuse.serving import Service, Serving
from transfuse.serving.answers import Answers
from transfuse.tasks import MultiLabel, Regression

Start = Callable[..., Server]

TEXTS = [
    "good",
    "",
    "  the film   was\tbad\n\n and poor ",
    "cafe\u0301 \ufeffsoft\u00adhyphen\u200b",
    "这 部 电影 很 好\u3000吗",
    "a\x00b\x0bc\x1f\x85d",
    "👩‍👩‍👧 so fine",
    "very " * 200,
]


def head(path: str = "/v1/models/known/predict", **headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    with connection:
        found = b""
        while piece := connection.recv(65_536):
            found += piece
        return found


# Answers


def test_batched_answers_are_those_of_single_texts(folder: Path) -> None:
    model = load_model(folder)
    alone = [predict_texts(model, [text])[0] for text in TEXTS]
    with running(Service({"m": folder}, Serving(threads=2))) as server:
        assert server.service.models["m"].info().labels == ["bad", "good"]
        with ThreadPoolExecutor(8) as clients:
            asked = [
                clients.submit(server.predict, text, model="m", probabilities=True)
                for text in TEXTS * 8
            ]
            found = [each.result().json()["predictions"][0] for each in asked]
    for one, text in zip(found, alone * 8, strict=True):
        assert one["prediction"] == text.value
        assert one["confidence"] == pytest.approx(text.confidence, abs=0.01)
        assert one["probabilities"] == pytest.approx(text.probabilities, abs=0.01)


def test_texts_are_mended_as_predict_mends_them(folder: Path) -> None:
    for clean in ({}, {"whitespace": False}, {"unicode": "NFKC", "control": False}):
        model = Known(recipe={"clean": clean})
        assert Answers(model)(TEXTS) == predict_texts(model, TEXTS)  # type: ignore[arg-type]
        assert model.batches[0] == model.batches[1]


def test_every_kind_of_task_answers(start: Start) -> None:
    models = {
        "one": Known(),
        "some": Known(task=MultiLabel(labels=("short", "long"))),
        "number": Known(task=Regression()),
    }
    server = start(models)

    def ask(name: str) -> dict[str, object]:
        response = server.predict("abcde", model=name, probabilities=True)
        found: dict[str, object] = response.json()["predictions"][0]
        return found

    third = pytest.approx(1 / 3)
    assert ask("one")["prediction"] == "short"
    assert ask("one")["probabilities"] == {"short": pytest.approx(2 / 3), "long": third}
    assert ask("some")["prediction"] == ["short"]
    assert ask("number") == {"prediction": 5.0, "confidence": None, "probabilities": {}}
    plain = server.predict("abcde", model="one").json()
    assert plain["model"] == "one"
    assert set(plain["predictions"][0]) == {"prediction", "confidence"}


def test_what_is_not_a_number_is_null(start: Start) -> None:
    class Nothing(Known):
        def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
            return np.full((len(texts), 1), np.nan)

    server = start(Nothing(task=Regression()))
    assert server.predict("a").json()["predictions"][0]["prediction"] is None


def test_two_models_answer_at_the_same_time(start: Start) -> None:
    gate = threading.Event()
    slow, fast = Known(gate=gate), Known(task=Regression())
    server = start({"slow": slow, "fast": fast})
    with ThreadPoolExecutor(2) as clients:
        waiting = clients.submit(server.predict, "wait", model="slow")
        until(lambda: ["wait"] in slow.batches)
        assert server.predict("abc", model="fast").json()["predictions"][0]["prediction"] == 3.0
        assert not waiting.done()
        gate.set()
        assert waiting.result().json()["predictions"][0]["prediction"] == "short"


def test_a_network_explains_its_answer(folder: Path) -> None:
    with running(Service({"m": folder}, Serving(threads=2))) as server:
        text = "the  film was 👍 good"
        found = server.post("/v1/models/m/explain", {"text": text, "label": "bad"})
        told = found.json()
        assert found.status_code == 200, told
        assert told["text"] == "the film was 👍 good"
        assert told["label"] == "bad"
        for token in told["tokens"]:
            assert told["text"][token["start"] : token["end"]] == token["text"]
        assert {"film", "good"} <= {token["text"] for token in told["tokens"]}
        wrong = server.post("/v1/models/m/explain", {"text": text, "label": "gut"})
        assert wrong.status_code == 422
        assert "gut" in wrong.json()["problems"][0]["what"]
        assert wrong.json()["problems"][0]["where"] == "model 'm'"
        method = server.post("/v1/models/m/explain", {"text": text, "method": "guess"})
        assert method.json()["problems"][0]["where"] == "method"


# Refusals


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b'{"texts": ["a"],}', 400, "body"),
        (bytes(range(256)) * 20, 400, "body"),
        (b'\xff\xfe{"texts": ["a"]}', 400, "body"),
        (b'{"texts": ["\xff"]}', 400, "body"),
        (b'{"texts": ["\\ud800"]}', 400, "body"),
        (b"[" * 100_000, 400, "body"),
        (b'{"texts":' + b"[" * 50_000, 400, "body"),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b'"texts"', 422, "body"),
        (b"{}", 422, "texts"),
        (b'{"texts": "a"}', 422, "texts"),
        (b'{"texts": []}', 422, "texts"),
        (b'{"texts": null}', 422, "texts"),
        (b'{"texts": {"0": "a"}}', 422, "texts"),
        (b'{"texts": ["a", 1]}', 422, "texts[1]"),
        (b'{"texts": [["a"]]}', 422, "texts[0]"),
        (b'{"texts": [null]}', 422, "texts[0]"),
        (b'{"texts": [' + b"1," * 100_000 + b"1]}", 422, "texts[0]"),
        (b'{"texts": ["a"], "probabilities": 1}', 422, "probabilities"),
        (b'{"texts": ["a"], "probabilites": true}', 422, "probabilites"),
    ],
)
def test_wrong_bodies_are_refused_in_words(
    start: Start, body: bytes, status: int, where: str
) -> None:
    server = start()
    response = server.post("/v1/models/known/predict", body)
    told = response.json()
    assert (response.status_code, told["problems"][0]["where"]) == (status, where), told
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 1000
    assert server.predict("a").status_code == 200


def test_a_misspelt_key_is_helped(start: Start) -> None:
    told = start().post("/v1/models/known/predict", {"texts": ["a"], "probabilites": True}).json()
    assert told["problems"][0]["fix"] == "Did you mean 'probabilities'?"


def test_limits_of_texts(start: Start) -> None:
    server = start(max_texts=3, max_characters=10)
    assert server.predict("字" * 10, "b", "c").status_code == 200
    many = server.predict("a", "b", "c", "d")
    assert many.status_code == 422
    assert many.json()["problems"][0]["expected"] == "at most 3"
    long = server.predict("a", "字" * 11)
    assert long.status_code == 422
    assert long.json()["problems"][0]["where"] == "texts[1]"
    assert server.post("/v1/models/known/explain", {"text": "a" * 11}).status_code == 422


def test_large_bodies_are_refused_before_they_are_read(start: Start) -> None:
    server = start(max_body=1000)
    assert server.predict("a" * 5000).status_code == 413
    # One who says how much will come is refused at once,
    told = received(server.raw(head(Content_Length="10000000000")))
    assert told.startswith(b"HTTP/1.1 413")
    # and one who does not, when it is too much.
    endless = server.raw(head(Transfer_Encoding="chunked"))
    with pytest.raises(OSError, match=r"pipe|reset"):  # noqa: PT012
        for _ in range(100_000):
            endless.sendall(b"3e8\r\n" + b"a" * 1000 + b"\r\n")
    endless.close()
    assert server.predict("a").status_code == 200
    assert server.metric('transfuse_rejected_total{reason="too_large"}') == 3


def test_other_paths_methods_and_media(start: Start) -> None:
    server = start()
    missing = server.predict("a", model="knwon")
    assert missing.status_code == 404
    assert missing.json()["problems"][0]["fix"] == "Did you mean 'known'?"
    assert server.get("/v1/models/other").status_code == 404
    assert server.get("/nowhere").status_code == 404
    assert server.get("/v1/models/known/predict").status_code == 405
    form = httpx.post(f"{server.url}/v1/models/known/predict", data={"texts": "a"})
    assert form.status_code == 415
    assert server.get("/docs").status_code == 404


def test_mistakes_of_the_server_stay_in_its_log(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start()
    response = server.predict("fail")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert response.json()["status"] == 500
    assert server.predict("a").status_code == 200
    assert "secret of the machine" in capsys.readouterr().err


def test_the_token_is_asked_of_all_but_the_page_and_the_probes(start: Start) -> None:
    server = start(token="s3cret")
    for path in ("/", "/health", "/ready"):
        assert server.get(path).status_code == 200
    for path in ("/v1/models", "/metrics", "/openapi.json", "/nowhere"):
        assert server.get(path).status_code == 401
    for given in ("", "s3cret", "Bearer", "Bearer s3cre", "Bearer s3crets", "Basic s3cret"):
        refused = server.post("/v1/models/known/predict", {"texts": ["a"]}, Authorization=given)
        assert refused.status_code == 401, given
        assert refused.headers["www-authenticate"] == "Bearer"
    for given in ("Bearer s3cret", "bearer s3cret"):
        found = server.post("/v1/models/known/predict", {"texts": ["a"]}, Authorization=given)
        assert found.status_code == 200
    told = server.get("/metrics", Authorization="Bearer s3cret").text
    assert 'transfuse_rejected_total{reason="unauthorised"} 10.0' in told
    assert "s3cret" not in told


# Load


def test_overload_is_turned_away_and_passes(start: Start) -> None:
    model = Known(gate=threading.Event())
    server = start(model, queue=8, max_texts=8, max_batch=4)
    with ThreadPoolExecutor(40) as clients:
        first = clients.submit(server.predict, "wait")
        until(lambda: ["wait"] in model.batches)
        asked = [clients.submit(server.predict, "a", "b") for _ in range(30)]
        until(lambda: sum(each.done() for each in asked) == 26)
        assert server.metric('transfuse_queued_texts{model="known"}') == 8
        assert model.gate is not None
        model.gate.set()
        statuses = sorted(each.result().status_code for each in asked)
        assert statuses == [200] * 4 + [429] * 26
        assert first.result().status_code == 200
        refused = next(each.result() for each in asked if each.result().status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["title"] == "Too Many Requests"
    assert server.predict("a").status_code == 200
    assert server.metric('transfuse_queued_texts{model="known"}') == 0
    assert server.metric('transfuse_rejected_total{reason="full"}') == 26


def test_what_clients_left_is_not_computed(start: Start) -> None:
    model = Known(gate=threading.Event())
    server = start(model)
    body = json.dumps({"texts": ["gone"]}).encode()
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(server.predict, "wait")
        until(lambda: ["wait"] in model.batches)
        for _ in range(20):
            server.raw(head(Content_Length=str(len(body))) + body).close()
        server.raw(head(Content_Length=str(len(body))) + body[:5]).close()
        until(lambda: server.metric('transfuse_rejected_total{reason="gone"}') == 21)
        assert server.metric('transfuse_queued_texts{model="known"}') == 0
        assert model.gate is not None
        model.gate.set()
        assert first.result().status_code == 200
    assert all("gone" not in batch for batch in model.batches)


def test_only_so_many_wait_for_an_explanation(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transfuse.explaining

    gate, began = threading.Event(), threading.Semaphore(0)

    def explain(*_: object, **__: object) -> object:
        began.release()
        assert gate.wait(20)
        raise ModelError([])

    monkeypatch.setattr(transfuse.explaining, "explain", explain)
    server = start(explanations=2)
    with ThreadPoolExecutor(5) as clients:
        asked = [
            clients.submit(server.post, "/v1/models/known/explain", {"text": "a"}) for _ in range(5)
        ]
        until(lambda: sum(each.done() for each in asked) == 3)
        gate.set()
        assert sorted(each.result().status_code for each in asked) == [422, 422, 429, 429, 429]


def test_slow_clients_lose_their_connection_and_hold_up_nobody(start: Start) -> None:
    server = start(receive_seconds=0.4)
    silent = server.raw(b"")
    half_head = server.raw(head()[:20])
    half_body = server.raw(head(Content_Length="100") + b'{"texts"')
    assert server.predict("a").status_code == 200
    assert received(silent) == b""
    assert received(half_head) == b""
    assert received(half_body).startswith(b"HTTP/1.1 408")
    assert server.predict("a").status_code == 200


def test_heads_without_end_are_cut_off(start: Start) -> None:
    server = start()
    endless = server.raw(b"GET / HTTP/1.1\r\n")
    with pytest.raises(OSError, match=r"pipe|reset"):  # noqa: PT012
        for _ in range(10_000):
            endless.sendall(b"X-More: " + b"a" * 1000 + b"\r\n")
    endless.close()
    assert server.predict("a").status_code == 200


def test_bytes_that_are_no_http_leave_it_serving(start: Start) -> None:
    server = start()
    rng = np.random.default_rng(0)
    for _ in range(20):
        connection = server.raw(rng.bytes(2000))
        connection.shutdown(socket.SHUT_WR)
        assert received(connection)[:12] in (b"", b"HTTP/1.1 400")
    assert server.predict("a").status_code == 200


def test_several_requests_on_one_connection(start: Start) -> None:
    server = start()
    body = b'{"texts": ["a"]}'
    one = head(Content_Length=str(len(body))) + body
    last = head(Content_Length=str(len(body)), Connection="close") + body
    assert received(server.raw(one + one + last)).count(b"HTTP/1.1 200") == 3


# State


def test_metrics_count_requests_batches_and_refusals(start: Start) -> None:
    server, other = start(), start()
    for _ in range(3):
        server.predict("a", "b")
    server.post("/v1/models/known/predict", b"{")
    server.get(f"/{'x' * 50}")
    path = 'path="/v1/models/{name}/predict"'
    assert server.metric(f'transfuse_requests_total{{{path},status="200"}}') == 3
    assert server.metric(f'transfuse_requests_total{{{path},status="400"}}') == 1
    assert server.metric(f"transfuse_request_seconds_count{{{path}}}") == 4
    assert server.metric('transfuse_requests_total{path="other",status="404"}') == 1
    assert server.metric('transfuse_texts_total{model="known"}') == 6
    assert server.metric('transfuse_batch_texts_count{model="known"}') == 3
    assert server.metric('transfuse_rejected_total{reason="invalid"}') == 1
    # Each server counts its own.
    assert other.metric('transfuse_texts_total{model="known"}') == 0


def test_it_is_alive_before_it_is_ready(start: Start) -> None:
    gate = threading.Event()

    class Slow(Known):
        def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
            assert gate.wait(20)
            return super().scores(texts)

    server = start(Slow(), wait=False)
    until(lambda: server.get("/health").status_code == 200)
    assert server.get("/ready").status_code == 503
    assert server.get("/v1/models").json()["models"][0]["ready"] is False
    early = server.predict("a")
    assert early.status_code == 503
    assert "retry-after" in early.headers
    gate.set()
    until(lambda: server.get("/ready").status_code == 200)
    assert server.predict("a").status_code == 200
    assert server.get("/v1/models/known").json() == {
        "name": "known",
        "ready": True,
        "reads": ["text"],
        "task": "classification",
        "labels": ["short", "long"],
        "metric": "accuracy",
        "measured": 0.75,
        "test_rows": 40,
    }


def test_stopping_answers_what_was_taken_on_and_nothing_new(start: Start) -> None:
    model = Known(gate=threading.Event())
    server = start(model)
    with ThreadPoolExecutor(2) as clients:
        waiting = [clients.submit(server.predict, "wait", "a")]
        until(lambda: ["wait", "a"] in model.batches)
        waiting.append(clients.submit(server.predict, "b", "c"))
        until(lambda: server.metric('transfuse_queued_texts{model="known"}') == 2)
        # A request of which only the head has come when the server is told to stop.
        body = b'{"texts": ["late"]}'
        late = server.raw(head(Content_Length=str(len(body))))
        time.sleep(0.05)
        server.service.stop_taking()
        refused = server.predict("b")
        assert (refused.status_code, server.get("/ready").status_code) == (503, 503)
        assert server.get("/health").status_code == 200
        server.server.should_exit = True
        until(lambda: _refuses(server.port))
        late.sendall(body)
        assert model.gate is not None
        model.gate.set()
        assert [each.result().status_code for each in waiting] == [200, 200]
        assert received(late).startswith(b"HTTP/1.1 200")


def test_a_model_that_hangs_holds_up_the_stop_no_longer_than_said(start: Start) -> None:
    model = Known(gate=threading.Event())
    server = start(model, drain_seconds=1)
    assert model.gate is not None
    with ThreadPoolExecutor(1) as clients:
        hanging = clients.submit(server.predict, "wait")
        until(lambda: ["wait"] in model.batches)
        began = time.monotonic()
        server.service.stop_taking()
        server.server.should_exit = True
        server.thread.join(10)
        assert not server.thread.is_alive()
        assert time.monotonic() - began < 4
        model.gate.set()
        assert hanging.result().status_code == 503
        assert "retry-after" in hanging.result().headers


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionError:
        return True
    return False


def test_the_interface_is_described(start: Start) -> None:
    told = start().get("/openapi.json").json()
    paths = {"/v1/models", "/v1/models/{name}", "/health", "/ready", "/metrics"}
    assert set(told["paths"]) == paths | {
        f"/v1/models/{{name}}/{verb}" for verb in ("predict", "explain")
    }
    predict = told["paths"]["/v1/models/{name}/predict"]["post"]
    assert "texts" in json.dumps(predict["requestBody"])
    assert {"200", "400", "413", "422", "429", "503"} <= set(predict["responses"])
    assert JSON["Content-Type"] in predict["requestBody"]["content"]


def test_connections_are_bounded(start: Start) -> None:
    server = start(connections=3)
    held = [server.raw(b"GET / HTTP/1.1\r\n") for _ in range(3)]
    until(lambda: len(server.server.server_state.connections) == 3)
    with server.raw(b"") as refused:
        refused.settimeout(10)
        assert refused.recv(100).startswith(b"HTTP/1.1 503 ")
    held.pop().close()
    until(lambda: len(server.server.server_state.connections) == 2)
    assert server.get("/health").status_code == 200
    for each in held:
        each.close()


def test_an_explanation_that_takes_too_long_is_given_up(start: Start) -> None:
    slow = Known(seconds=0.05)
    server = start(slow, explain_seconds=0.1)
    text = " ".join(f"w{number}" for number in range(200))
    said = server.post("/v1/models/known/explain", {"text": text})
    assert said.status_code == 422
    assert "more than 0.1 seconds" in said.text
    assert len(slow.batches) < 12
    assert server.predict("a").status_code == 200
