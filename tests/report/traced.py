"""The check that every number of a page is one row of the study, at the precision shown."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
from html_page import Element, number, parse

SHARES = ("percent", "points")


def in_json(document: Any, pointer: str) -> Any:
    """What a JSON pointer points to."""
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def agrees(text: str, stored: float, style: str) -> bool:
    """Whether a shown number is the stored one, rounded to the digits that are shown."""
    if style == "beyond":
        return stored == math.inf and text.startswith("> ")
    if math.isinf(stored):
        return text == ("∞" if stored > 0 else "−∞")
    if style == "p" and text.startswith("<"):
        return stored < number(text)[0]
    value, half = number(text)
    wanted = 100 * stored if style in SHARES else stored
    return abs(value - wanted) <= half * (1 + 1e-9) + 1e-12


def check(folder: Path) -> Element:
    """Check the report of a folder and give its tree back."""
    page = parse((folder / "report.html").read_text(encoding="utf-8"))
    rows = pd.read_parquet(folder / "study.parquet").set_index("row")
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    for element in page.walk():
        row, pointer = element.attributes.get("data-row"), element.attributes.get("data-json")
        field = element.attributes.get("data-field")
        if row is not None:
            assert int(row) in rows.index
        if row is not None and field is not None:
            stored = float(rows.loc[int(row), field])
            assert agrees(element.text, stored, element.attributes["data-style"]), element
            if element.tag == "data":
                assert float(element.attributes["value"]) == stored
        if pointer is not None:
            stored = float(in_json(study, pointer))
            assert agrees(element.text, stored, element.attributes["data-style"]), element
    for cell in page.all("td"):
        for holder, text in cell.texts():
            if re.search(r"\d", text) and not holder.has("label"):
                assert {"data-row", "data-json"} & set(holder.attributes), (text, cell.text)
    return page
