"""The page on which a person asks a model: three files put into one."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

__all__ = ["Page", "read_page"]


@dataclass(frozen=True)
class Page:
    """The page, and the headers that it goes with."""

    html: str
    headers: Mapping[str, str]


def read_page() -> Page:
    """The page with its style and script in it.

    The policy in its headers lets a browser run this script and ask this server, and nothing else.
    """
    assets = files("transfuse.serving") / "assets"
    html, style, script = (
        (assets / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
    )
    html = html.replace("/* style */", style).replace("/* script */", script)
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; img-src data:; "
        f"style-src {_digest(style)}; script-src {_digest(script)}"
    )
    return Page(html, {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})


def _digest(text: str) -> str:
    """How a policy names the contents of an element."""
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
