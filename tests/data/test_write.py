"""Rows to files: what is written is what is read again, whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pytest

from transfuse.data import Table, read
from transfuse.data.write import write_table, writing
from transfuse.errors import DataError

COLUMNS = {
    "text": ['a "quoted", one', "two\nlines", "中文", " spaces "],
    "label": ["yes", "no", "yes", "no"],
    "number": [1, 2, 3, 4],
}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".pq"])
def test_a_table_comes_back(tmp_path: Path, suffix: str) -> None:
    table = Table.from_dict(COLUMNS, roles={"text": "text", "label": "label"})
    path = tmp_path / "folder" / f"table{suffix}"
    write_table(table, path)
    again = read(path, roles={"text": "text", "label": "label"})
    assert again.fingerprint == table.fingerprint
    assert again.values("number") == COLUMNS["number"]
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before", encoding="utf-8")

    def fail() -> None:
        with writing(path) as writer:
            writer.write(pa.table({"text": ["half"]}))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text(encoding="utf-8") == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["table.csv"]


def test_an_unknown_kind_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match=r"unknown kind of file '\.docx'"),
        writing(tmp_path / "folder" / "table.docx"),
    ):
        pytest.fail("nothing may be written")
    assert not (tmp_path / "folder").exists()
