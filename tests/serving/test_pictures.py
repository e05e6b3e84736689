"""Models that read pictures, beside those that read texts: answers, refusals, the page."""

import base64
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from serving_helpers import Known, Server
from test_page import browse, hidden, in_browser, words

from tiny_pictures import encoded, photo
from transfuse.data import Role
from transfuse.data.images import decode
from transfuse.tasks import Classification

Start = Callable[..., Server]


@dataclass
class Bright(Known):
    """A model of pictures whose answer is known: the brighter, the surer of the last label."""

    reads: tuple[Role, ...] = (Role.IMAGE,)

    def scores(self, texts: Sequence[Any]) -> NDArray[np.float64]:
        self.batches.append(list(texts))
        images = [one if isinstance(one, Image.Image) else decode(one) for one in texts]
        share = np.array([[np.asarray(image).mean() / 255] for image in images])
        return np.hstack([1 - share, share])


def told(content: bytes) -> str:
    return base64.b64encode(content).decode()


def bomb() -> bytes:
    """A PNG of a few bytes that claims nine hundred million pixels."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


WHITE, BLACK = (encoded(Image.new("RGB", (20, 30), colour)) for colour in ("white", "black"))
DARK_OR_LIGHT = Classification(labels=("dark", "light"))


@pytest.fixture
def server(start: Start) -> Server:
    both = {"photos": Bright(task=DARK_OR_LIGHT), "words": Known()}
    return start(both, max_images=3, max_pixels=100_000, max_image_body=300_000, max_texts=3)


def ask(server: Server, *images: str, model: str = "photos", **more: Any) -> Any:
    return server.post(f"/v1/models/{model}/predict", {"images": list(images), **more})


def test_pictures_and_texts_are_answered_side_by_side(server: Server) -> None:
    url = f"data:image/png;base64,{told(BLACK)}"
    found = ask(server, told(WHITE), url, probabilities=True).json()
    assert found["model"] == "photos"
    assert [one["prediction"] for one in found["predictions"]] == ["light", "dark"]
    assert found["predictions"][0]["probabilities"] == {"dark": 0.0, "light": 1.0}
    assert server.predict("abc", model="words").json()["predictions"][0]["prediction"] == "short"
    models = {one["name"]: one["reads"] for one in server.get("/v1/models").json()["models"]}
    assert models == {"photos": ["image"], "words": ["text"]}
    path = server.get("/openapi.json").json()["paths"]["/v1/models/{name}/predict"]["post"]
    kinds = path["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert [next(iter(kind["properties"])) for kind in kinds] == ["texts", "images"]


@pytest.mark.parametrize(
    ("image", "what"),
    [
        ("no base64!", "is no base64"),
        ("data:image/png,abc", "is a data URL without base64"),
        (told(b"<html>no picture</html>"), "it is a web page"),
        (told(b"just some words"), "it begins with the text"),
        ("", "an empty file"),
        (told(bomb()), "claims too many pixels"),
        (told(encoded(photo(0, 400, 300))), "claims too many pixels"),
        (told(encoded(photo(0, 200, 150))[:-900]), "cut off"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_place(server: Server, image: str, what: str) -> None:
    response = ask(server, told(WHITE), image)
    assert response.status_code == 422
    (problem,) = response.json()["problems"]
    assert problem["where"] == "images[1]"
    assert what in problem["what"]
    assert ask(server, told(WHITE)).status_code == 200


def test_bounds_and_the_wrong_kind_are_told(server: Server) -> None:
    assert "at most 3" in ask(server, *[told(WHITE)] * 4).text
    assert ask(server, "A" * 300_000).status_code == 413
    for response in (server.predict("abc", model="photos"), ask(server, "", model="words")):
        assert response.status_code == 422
        assert "is missing" in response.text
    explained = server.post("/v1/models/photos/explain", {"text": "abc"})
    assert explained.status_code == 422
    assert "reads pictures" in explained.text


def test_requests_with_pictures_beyond_memory_are_turned_away(start: Start) -> None:
    server = start(Bright(task=DARK_OR_LIGHT), max_image_requests=1)
    with server.service.holding_pictures():
        response = ask(server, told(WHITE), model="known")
        assert response.status_code == 429
        assert response.headers["Retry-After"] == "1"
    assert ask(server, told(WHITE), model="known").status_code == 200


@in_browser
def test_a_person_sees_what_a_picture_is(start: Start, tmp_path: Path) -> None:
    server = start({"words": Known(), "photos": Bright(task=DARK_OR_LIGHT)})
    url = f"data:image/png;base64,{told(WHITE)}"
    dom = browse(server.url, tmp_path, model="photos", image=url)
    assert words(dom, "said") == "light"
    assert "100.0" in words(dom, "sure")
    assert "dark" in words(dom, "bars")
    assert hidden(dom, "written")
    assert not hidden(dom, "pictured")
    assert not hidden(dom, "shown")
    assert hidden(dom, "why")
    assert '{"images": ["' in words(dom, "curl")
