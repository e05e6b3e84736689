"""A page as a tree, read with the standard library, for tests that look into it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "input", "br", "hr", "img", "link"}


@dataclass
class Element:
    """An element with its attributes, children and text."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)
    parent: "Element | None" = None

    def walk(self) -> Iterator["Element"]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str) -> list["Element"]:
        return [element for element in self.walk() if element.tag == tag]

    def first(self, tag: str) -> "Element":
        return self.all(tag)[0]

    def within(self, tag: str) -> bool:
        above = self.parent
        while above is not None and above.tag != tag:
            above = above.parent
        return above is not None

    def has(self, name: str) -> bool:
        return name in self.attributes.get("class", "").split()

    def texts(self) -> Iterator[tuple["Element", str]]:
        """Each piece of text with the element that holds it; tooltips are not text."""
        for child in self.children:
            if isinstance(child, str):
                yield self, child
            elif child.tag not in ("title", "style"):
                yield from child.texts()

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(text for _, text in self.texts())).strip()


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        element = Element(tag, attributes, parent=self.here)
        self.here.children.append(element)
        if tag not in _VOID:
            self.here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.here.children.append(Element(tag, attributes, parent=self.here))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert tag == self.here.tag, f"</{tag}> closes <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.children.append(data)


def parse(html: str) -> Element:
    """The tree of a page. Fails where an element is not closed in its place."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.here is builder.root, f"<{builder.here.tag}> is never closed"
    return builder.root


def number(text: str) -> tuple[float, float]:
    """A shown number and half of its last digit: "83.1" is 83.1 and 0.05, "22.7 M" 22.7e6.

    Written apart from the code that formats, so that one checks the other.
    """
    found = re.fullmatch(r"([<>≤] )?([+−]?)([\d,]+)(?:\.(\d+))?(?:e([+−]\d+))?( [kMB])?", text)
    assert found, f"not a number: {text!r}"
    _, sign, whole, fraction, power, suffix = found.groups()
    scale = {None: 1.0, " k": 1e3, " M": 1e6, " B": 1e9}[suffix]
    scale *= 10.0 ** int((power or "0").replace("−", "-"))
    value = float(f"{whole.replace(',', '')}.{fraction or '0'}")
    half = 0.5 * 10.0 ** -len(fraction or "")
    return (-1 if sign == "−" else 1) * value * scale, half * scale
