"""The page: whole by itself, in the colours of the house, and at work in a browser."""

import html
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from numpy.typing import NDArray
from serving_helpers import Known, Server

from transfuse.report.theme import DARK, LIGHT
from transfuse.serving.page import read_page
from transfuse.tasks import Classification, Regression

Start = Callable[..., Server]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def browse(url: str, folder: Path, **fields: str) -> str:
    """The page as a browser has it after its script has run."""
    done = subprocess.run(
        [
            str(CHROMIUM),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000"),
            *(f"--user-data-dir={folder}", "--dump-dom", f"{url}/#{urlencode(fields)}"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.partition("<body>")[2].partition("<script>")[0]


def words(dom: str, place: str) -> str:
    """What an element of this id reads."""
    found = re.search(rf'<(\w+)[^>]* id="{place}"[^>]*>(.*?)</\1>', dom, re.DOTALL)
    assert found, f"no {place} in\n{dom}"
    return html.unescape(re.sub(r"<[^>]+>", " ", found[2])).strip()


def hidden(dom: str, place: str) -> bool:
    return bool(re.search(rf'id="{place}"[^>]* hidden', dom))


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = read_page()
    assert re.findall(r"(?:https?:)?//\w[^\s\"']*", page.html) == []
    assert "/* style */" not in page.html
    assert "/* script */" not in page.html
    # What a text says is never read as HTML.
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval", page.html)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_its_colours_are_those_of_the_report() -> None:
    style = read_page().html.partition("<style>")[2].partition("</style>")[0]
    blocks = re.findall(r"color-scheme: (light|dark);\s+([^}]+)\}", style)
    assert [scheme for scheme, _ in blocks] == ["light", "dark", "dark"]
    for scheme, block in blocks:
        colours = dict(re.findall(r"--(\w+): (#\w+);", block))
        theme = LIGHT if scheme == "light" else DARK
        assert colours == {name: theme[name] for name in colours}
        assert set(colours) == set(re.findall(r"var\(--(\w+)\)", style)) & set(LIGHT)


@in_browser
def test_a_person_sees_the_answer_and_what_drove_it(start: Start, tmp_path: Path) -> None:
    labels = ("差评", "好评")
    server = start({"影评": Known(task=Classification(labels=labels)), "other": Known()})
    text = "这部电影👍很好 <img src=x onerror=alert(1)>"
    dom = browse(server.url, tmp_path, model="影评", text=text)
    assert words(dom, "said") == "好评"
    assert re.fullmatch(r"\d\d\.\d % sure", words(dom, "sure"))
    assert re.findall("[差好]评", words(dom, "bars")) == ["好评", "差评"]
    tokens = re.search(r'<p id="tokens"[^>]*>(.*?)</p>', dom, re.DOTALL)
    assert tokens
    assert html.unescape(re.sub(r"</?mark[^>]*>", "", tokens[1])) == text
    assert '<mark class="for"' in tokens[1]
    assert words(dom, "for-label") == "好评"
    assert re.search(r'data-label="好评" aria-pressed="true"', dom)
    assert "Content-Type: application/json" in words(dom, "curl")
    assert words(dom, "title") == "影评"
    assert "accuracy 0.750 on 40 test rows" in words(dom, "facts")
    assert re.findall(r"<option[^>]*>(\w+)", dom) == ["影评", "other"]
    assert not hidden(dom, "choice")
    assert hidden(dom, "problem")


@in_browser
def test_many_labels_and_numbers(start: Start, tmp_path: Path) -> None:
    class Many(Known):
        def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
            return np.tile(np.arange(1.0, 21) / 210, (len(texts), 1))

    labels = tuple(f"label {n}" for n in range(20))
    server = start(
        {"many": Many(task=Classification(labels=labels)), "n": Known(task=Regression())}
    )
    dom = browse(server.url, tmp_path / "a", model="many", text="a text")
    assert dom.count("data-label=") == 8
    assert words(dom, "more") == "Show all 20 labels"
    dom = browse(server.url, tmp_path / "b", model="n", text="a text")
    assert words(dom, "said") == "6"
    assert words(dom, "sure") == ""
    assert hidden(dom, "likely")


@in_browser
def test_the_page_asks_for_the_token_and_tells_of_problems(start: Start, tmp_path: Path) -> None:
    guarded = start(token="s3cret")
    dom = browse(guarded.url, tmp_path / "a")
    assert not hidden(dom, "access")
    assert not hidden(dom, "problem")
    server = start(max_characters=3)
    dom = browse(server.url, tmp_path / "b", text="much too long")
    assert "has 13 characters; expected at most 3" in words(dom, "problem")
    assert hidden(dom, "result")


@in_browser
def test_where_no_reason_is_found_the_page_says_so(start: Start, tmp_path: Path) -> None:
    class Unexplained(Known):
        def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
            if "" in texts:
                raise RuntimeError
            return super().scores(texts)

    dom = browse(start(Unexplained()).url, tmp_path, text="a text")
    assert words(dom, "said") == "short"
    assert not hidden(dom, "problem")
    assert words(dom, "why-state") == ""
