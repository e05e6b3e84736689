"""JSON Lines and JSON files, good and bad."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfuse.data.loaded import ReadOptions
from transfuse.data.prepare import prepare
from transfuse.data.read import read
from transfuse.data.readers.json import load_json_lines
from transfuse.errors import DataError

Write = Callable[..., Path]

ROWS: list[dict[str, Any]] = [
    {"text": "a b", "label": "x"},
    {"text": "七 八", "label": "y"},
    {"text": "e f", "label": "x"},
]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setenv("TRANSFUSE_CACHE", str(tmp_path / "cache"))

    def put(content: str | bytes, name: str = "t.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def problems(path: Path, **options: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.jsonl", lines(ROWS)),
        ("t.jsonl", "\n" + lines(ROWS).replace("\n", "\n\n")),
        ("t.ndjson", "\ufeff" + lines(ROWS)),
        ("t.json", json.dumps(ROWS)),
        ("t.json", json.dumps({"data": ROWS}, ensure_ascii=False)),
        ("t.json", json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]})),
        ("t.json", lines(ROWS)),
    ],
)
def test_every_form_of_a_table(write: Write, name: str, content: str) -> None:
    found = read(write(content, name))
    assert found.texts() == ["a b", "七 八", "e f"]
    assert found.labels() == ["x", "y", "x"]


@pytest.mark.parametrize(
    "labels", [[1, 2, 1], [1.5, 2, 3], ["1", "2", "1"], [["a"], [], ["b", "a"]], [[1], [2, 3], []]]
)
def test_labels_keep_their_type(write: Write, labels: list[Any]) -> None:
    rows = [{**row, "label": label} for row, label in zip(ROWS, labels, strict=True)]
    assert read(write(lines(rows))).labels() == labels


def test_keys_may_differ_where_they_have_no_role(write: Write) -> None:
    found = read(write(lines([*ROWS, {"text": "g h", "label": "y", "votes": 3}])))
    assert found.values("votes") == [None, None, None, 3]
    assert "key 'votes' stands in 1 of 4 rows; it is empty in the others." in found.notes[0]


def test_a_missing_key_with_a_role_is_named_with_the_keys_that_are_there(write: Write) -> None:
    found = problems(write(lines([*ROWS, {"txet": "g h", "label": "y"}])))
    assert found == [
        "t.jsonl, row 4 (line 4, with the keys 'label', 'txet'), column 'text': no text; "
        "expected a text in each row. Fill it in or leave the row out."
    ]


def test_all_bad_lines_come_at_once(write: Write) -> None:
    content = (
        lines(ROWS)
        + '{"text": "no end\n\n[1, 2]\n{"text": "q r", "label": null}\n'
        + '{"text": "half \\ud83d", "label": "x"}\n{"text": "s t", "label": NaN}\n'
    )
    found = problems(write(content))
    assert [problem.split(";")[0] for problem in found] == [
        "t.jsonl, row 4 (line 4), character 17: not JSON (Invalid control character at)",
        "t.jsonl, row 5 (line 6): [1, 2] instead of an object",
        "t.jsonl, row 6 (line 7), column 'label': no label",
        "t.jsonl, row 7 (line 8), column 'text': half of a character (a lone surrogate)",
        "t.jsonl, row 8 (line 9), column 'label': no label",
    ]


def test_labels_of_several_types_are_named(write: Write) -> None:
    rows = [*ROWS, {"text": "g h", "label": 3}, {"text": "i j", "label": True}]
    found = problems(write(lines(rows)))
    assert [problem.split("'label': ")[1].split(".")[0] for problem in found] == [
        "an integer (3); expected a text, as in 3 of 5 rows",
        "true or false (True); expected a text, as in 3 of 5 rows",
    ]
    found = problems(write(lines([{**row, "label": [1, None]} for row in ROWS])))
    assert len(found) == 3
    assert "no label" in found[0]
    found = problems(write(lines([{**row, "label": [1, "a"]} for row in ROWS])))
    assert "expected a text, a number, or a list of these" in found[0]


def test_values_that_fit_no_column_are_kept_as_json_where_they_have_no_role(write: Write) -> None:
    rows = [{**row, "meta": meta} for row, meta in zip(ROWS, [{"a": 1}, 2, 2**70], strict=True)]
    assert read(write(lines(rows))).values("meta") == ['{"a": 1}', "2", str(2**70)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", "", "the file is empty"),
        ("t.jsonl", "\n\n", "the file is empty"),
        ("t.json", "[]", "the file holds []; expected"),
        ("t.json", "3", "the file holds 3; expected"),
        ("t.json", '[{"text": ]', "t.json, line 1, character 11: not JSON (Expecting value)"),
        ("t.json", '{"text": ["a"], "label": []}', "different lengths"),
        ("t.jsonl", '{"text": "a\0b"}', "a NUL byte"),
        ("t.jsonl", b'{"text": "caf\xe9"}', "t.jsonl, line 1, byte 13: bytes e9 22 7d"),
        ("t.jsonl", lines(ROWS).encode("utf-16"), "looks like UTF-16"),
    ],
)
def test_a_file_without_a_table(
    write: Write, name: str, content: str | bytes, message: str
) -> None:
    found = problems(write(content, name))
    assert message in found[0]


def test_a_large_file_gives_the_same_table_through_the_cache(write: Write, tmp_path: Path) -> None:
    # The kind of `n` is known only at the end, long after the first batch was seen.
    rows = [{"text": f"row {n}", "label": n % 3, "n": n} for n in range(25_000)]
    rows.append({"text": "last", "label": 0, "n": 0.5})
    path = write(lines(rows))
    options = ReadOptions(in_memory_bytes=1000)
    dataset, schema, _ = prepare(load_json_lines(path, options), None, options)
    assert len(list((tmp_path / "cache" / "tables").iterdir())) == 1
    assert dataset[:]["n"] == [float(row["n"]) for row in rows]
    assert schema.roles == read(path).schema.roles
