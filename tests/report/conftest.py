"""The study of ten recipes, written and reported once for all tests of the report."""

from pathlib import Path

import pytest
from html_page import Element, parse
from synthetic_study import write_study

from transfuse.report import write_report


@pytest.fixture(scope="session")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of ten recipes, with its report."""
    folder = write_study(tmp_path_factory.mktemp("study"))
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def page(ten: Path) -> Element:
    """Its report as a tree."""
    return parse((ten / "report.html").read_text(encoding="utf-8"))
