"""CSV and TSV files, good and bad."""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.data.loaded import ReadOptions
from transfuse.data.prepare import prepare
from transfuse.data.read import read
from transfuse.data.readers.csv import load_csv
from transfuse.errors import DataError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setenv("TRANSFUSE_CACHE", str(tmp_path / "cache"))

    def put(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def problems(path: Path, **options: object) -> list[str]:
    with pytest.raises(DataError) as caught:
        read(path, **options)  # type: ignore[arg-type]
    return [str(problem) for problem in caught.value.problems]


def test_cells_quotes_and_line_ends(write: Write) -> None:
    path = write('text,label\r\n"a ""b"", c",x\r\n"d\ne",y\r\n\r\nhe said "f" ,x\r\n')
    found = read(path)
    assert found.texts() == ['a "b", c', "d\ne", 'he said "f" ']
    assert found.labels() == ["x", "y", "x"]
    assert found.name == "t.csv"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.lists(
            st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")),
            min_size=2,
            max_size=2,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_python_writes_is_read_back(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["text", "more"])
        writer.writerows(rows)
    found = read(path, roles={"text": ["text", "more"], "label": None})
    assert [list(row) for row in zip(found.texts(), found.values("more"), strict=True)] == rows


def test_chinese_headers_and_contents(write: Write) -> None:
    path = write("内容,类别\n这家店很好,好评\n不会再来,差评\n")
    found = read(path)
    assert found.texts() == ["这家店很好", "不会再来"]
    assert found.labels() == ["好评", "差评"]
    assert found.notes[0] == "t.csv: text is column '内容', since its name says so."


def test_a_byte_order_mark_is_not_part_of_the_first_name(write: Write) -> None:
    assert read(write(b"\xef\xbb\xbftext,label\na b,1\n")).texts() == ["a b"]


def test_tabs_and_semicolons(write: Write) -> None:
    assert read(write("text\tlabel\na, b\t1\n", "t.tsv")).texts() == ["a, b"]
    found = read(write("text;label\na, b;1\n"))
    assert found.texts() == ["a, b"]
    assert found.notes[0] == "t.csv: cells are separated by semicolons, as in the header."


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["1", "0", "-3"], [1, 0, -3]),
        (["1.0", "2.5", "-3e2"], [1.0, 2.5, -300.0]),
        (["1", "2.5", ".5"], [1.0, 2.5, 0.5]),
        (["007", "008", "009"], ["007", "008", "009"]),
        (["12345678901234567890", "1", "2"], ["12345678901234567890", "1", "2"]),
        (["a", "b", "1"], ["a", "b", "1"]),
        (["a|b", "a", "|"], [["a", "b"], ["a"], []]),
        (["1|2", "3", "1"], [[1, 2], [3], [1]]),
        ([" a", "b ", "a"], ["a", "b", "a"]),
        (["e1", "e2", "e1"], ["e1", "e2", "e1"]),
        (["1e5", "-0", "1."], [1e5, 0.0, 1.0]),
        (["+1", "+2", "+1"], ["+1", "+2", "+1"]),
        (["1e999", "1e998", "1e999"], ["1e999", "1e998", "1e999"]),
    ],
)
def test_labels_are_what_they_look_like(
    write: Write, cells: list[str], labels: list[object]
) -> None:
    rows = "".join(f"text {n},{cell}\n" for n, cell in enumerate(cells))
    found = read(write("text,label\n" + rows)).labels()
    assert found == labels
    assert [type(label) for label in found] == [type(label) for label in labels]


def test_label_options(write: Write) -> None:
    path = write("text,label\na,1\nb,2\nc,nan\n")
    assert read(path, label_names=True).labels() == ["1", "2", "nan"]
    path = write("text,label\na,x|y\nb,z\n")
    assert read(path, label_separator=None).labels() == ["x|y", "z"]
    assert read(path, label_separator="/").labels() == ["x|y", "z"]


def test_texts_of_digits_stay_as_written(write: Write) -> None:
    assert read(write("text,label\n1.50,1\n2,0\n")).texts() == ["1.50", "2"]


def test_numbers_in_other_columns_are_numbers(write: Write) -> None:
    found = read(write("text,label,n\na,x,1\nb,y,\n"))
    assert found.values("n") == [1, None]


def test_an_empty_text_is_left_to_cleaning(write: Write) -> None:
    assert read(write("text,label\n,1\nb,0\n")).texts() == ["", "b"]


def test_rows_of_the_wrong_width_and_missing_labels_come_together(write: Write) -> None:
    path = write('text,label,n\na,1,2\nb,1\n"c\nc",1,2,3\nd,,1\ne,NaN,1\nf,1,1\n')
    assert problems(path) == [
        "t.csv, row 2 (line 3): 2 cells; expected 3, as in the header. "
        "The row has no value for 'n'.",
        "t.csv, row 3 (line 4): 4 cells; expected 3, as in the header. "
        "Put cells that contain ',' into double quotes: \"a, b\".",
        "t.csv, row 4 (line 6), column 'label': no label; expected a label in each row. "
        "Fill it in or leave the row out.",
        "t.csv, row 5 (line 7), column 'label': the label is 'NaN', which stands for a missing "
        "value; expected a label in each row. Fill it in or leave the row out. If it is a name, "
        "say label_names=True.",
    ]


def test_names_among_numbers_are_bad_labels(write: Write) -> None:
    (problem,) = problems(write("text,label\na,1\nb,two\nc,3\nd,4\n"))
    assert problem.startswith("t.csv, row 2 (line 3), column 'label': the label 'two' is not a num")


def test_many_bad_rows_are_shown_as_twenty_and_a_count(write: Write) -> None:
    path = write("text,label\n" + "only text\n" * 1000 + "a,\n" * 5 + "b,1\n")
    found = problems(path)
    assert len(found) == 21
    assert found[0].startswith("t.csv, row 1 (line 2): 1 cell;")
    assert found[20] == "t.csv: 985 more problems"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "t.csv: the file is empty"),
        ("\n \n", "t.csv: the file is empty"),
        ("text,label\n", "t.csv: no rows"),
        ("text,label", "t.csv: no rows"),
        ("text,a,text,a\n1,2,3,4\n", "header (line 1): more than one column named 'a', 'text'"),
        ('"text,label\na,b\n', "t.csv, header (line 1): a double quote opens here and never"),
        ("te\0xt,label\na,b\n", "t.csv, header (line 1): a NUL byte"),
    ],
)
def test_a_file_without_a_table(write: Write, content: str, message: str) -> None:
    (problem,) = problems(write(content))
    assert message in problem


def test_a_wrong_column_is_named_with_the_nearest(write: Write) -> None:
    path = write("text,label\na b,1\n")
    (problem,) = problems(path, roles={"text": "txet"})
    assert problem == "t.csv: no column 'txet' for the text. Did you mean 'text'?"


def test_nul_bytes_are_named(write: Write) -> None:
    (problem,) = problems(write("text,label\na,1\nb\0b,0\nc,1\n"))
    assert problem.startswith("t.csv, row 2 (line 3), column 'text': a NUL byte")


def test_invalid_utf8_is_named_by_line_and_byte(write: Write) -> None:
    path = write(b"text,label\nfine,1\ncaf\xe9,1\nna\xefve,0\n")
    found = problems(path)
    assert found[0].startswith("t.csv, line 3, byte 21: bytes e9 2c 31 0a are not UTF-8")
    assert "encoding='cp1252'" in found[0]
    assert found[1].startswith("t.csv, line 4, byte 27: bytes ef 76 65 2c are not UTF-8")
    assert read(path, encoding="latin-1").texts() == ["fine", "café", "naïve"]


def test_gb18030_is_recognised_and_read(write: Write) -> None:
    path = write("内容,标签\n这家店的服务很好,1\n".encode("gb18030"))
    assert "encoding='gb18030'" in problems(path)[0]
    assert read(path, encoding="gb18030").texts() == ["这家店的服务很好"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_recognised_and_read(write: Write, encoding: str) -> None:
    path = write("text,label\na b,1\n".encode(encoding))
    (problem,) = problems(path)
    assert f"looks like UTF-16; expected UTF-8. Say encoding='{encoding}'" in problem
    assert read(path, encoding=encoding).texts() == ["a b"]


def test_an_unknown_encoding_is_an_error(write: Write) -> None:
    assert "unknown encoding 'utf-99'" in problems(write("text\na b\n"), encoding="utf-99")[0]


def test_a_megabyte_in_a_cell_is_read_and_more_is_refused(write: Write) -> None:
    long = "line of text\n" * 77_000
    path = write(f'text,label\na,1\n"{long[:1_000_000]}",0\n')
    assert len(read(path).texts()[1]) == 1_000_000
    path = write(f'text,label\na,1\n"{long[:1_000_000]}",0\nb,1\n"{long[:900_000]}{long}",0\n')
    assert len(read(path, max_cell=2_000_000)) == 4
    (problem,) = problems(path)
    assert problem.endswith(
        "column 'text': a text of 1,901,000 characters; expected at most 1,000,000. "
        "Cut or split the text, or raise max_cell."
    )
    assert problem.startswith("t.csv, row 4 (line 76928)")


ROW = "a fairly ordinary sentence number {},{}\n"


def many(rows: int, change: dict[int, str]) -> str:
    """A file whose line n (from 1, the header) is as given in `change`."""
    lines = ["text,label\n", *(ROW.format(n, n % 2) for n in range(2, rows + 2))]
    for line, text in change.items():
        lines[line - 1] = text
    return "".join(lines)


BROKEN = '"a sentence whose quote never closes,1\n'


def test_a_quote_left_open_at_line_40000_is_named_quickly(write: Write) -> None:
    path = write(many(60_000, {40_000: BROKEN}))
    start = time.perf_counter()
    (problem,) = problems(path)
    assert time.perf_counter() - start < 10
    assert problem.startswith(
        "t.csv, row 39999 (line 40000), column 'text': a double quote opens here and never closes"
    )


def test_a_quote_that_closes_at_a_later_quote_is_named_where_it_opened(write: Write) -> None:
    path = write(many(60_000, {40_000: BROKEN, 50_000: '"quoted, text",1\n'}))
    (problem,) = problems(path)
    assert problem.startswith("t.csv, row 39999 (line 40000), column 'text': a double quote opens")
    assert "closes on line 50000 before 'quoted, text'" in problem


def test_rows_swallowed_by_two_broken_quotes_are_not_silent(write: Write) -> None:
    closing = 'a sentence that ends with a stray quote",1\n'
    path = write(many(60_000, {40_000: BROKEN, 40_500: closing}))
    (problem,) = problems(path)
    assert problem.startswith(
        "t.csv, row 39999 (line 40000), column 'text': a double quote opens here and takes in 500 "
        "lines that look like rows"
    )


def test_reading_goes_on_after_a_broken_quote(write: Write) -> None:
    change = {10: BROKEN, 20: '"said "so",1\n', 30: "too,many,cells\n", 35: BROKEN}
    found = problems(write(many(40, change)))
    places = [problem.split(":")[0] for problem in found]
    assert places == [
        "t.csv, row 9 (line 10), column 'text'",
        "t.csv, row 19 (line 20), column 'text'",
        "t.csv, row 29 (line 30)",
        "t.csv, row 34 (line 35), column 'text'",
    ]


def test_prose_of_many_lines_is_not_taken_for_swallowed_rows(write: Write) -> None:
    prose = "\n".join(f"Line {n} has no comma" if n % 3 else "One, comma" for n in range(60))
    assert read(write(f'text,label\n"{prose}",1\nb,0\n')).texts()[0] == prose


def test_quotes_can_be_ordinary_characters(write: Write) -> None:
    path = write('text\tlabel\n"Unclosed he said\t1\nb\t0\n', "t.tsv")
    assert "say quotes=False" in problems(path)[0]
    assert read(path, quotes=False).texts() == ['"Unclosed he said', "b"]


def test_the_parser_limit_of_the_process_is_left_as_it_was(write: Write) -> None:
    before = csv.field_size_limit()
    read(write("text,label\na b,1\n"))
    problems(write("text,label\na b\n"))
    assert csv.field_size_limit() == before


def test_a_large_file_goes_through_the_cache_once(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(many(30_000, {}))
    options = ReadOptions(in_memory_bytes=1000)
    dataset, _, _ = prepare(load_csv(path, options, ","), None, options)
    (stored,) = (tmp_path / "cache" / "tables").iterdir()
    assert dataset["text"][29_999] == "a fairly ordinary sentence number 30001"
    assert dataset[:]["label"] == read(path).labels()
    written = stored.stat().st_mtime_ns
    again, _, _ = prepare(load_csv(path, options, ","), None, options)
    assert again[:]["text"] == dataset[:]["text"]
    assert stored.stat().st_mtime_ns == written
    write(many(30_000, {5: "changed,1\n"}))
    changed, _, _ = prepare(load_csv(path, options, ","), None, options)
    assert changed["text"][3] == "changed"


def test_a_bad_large_file_leaves_nothing_in_the_cache(write: Write, tmp_path: Path) -> None:
    path = write(many(30_000, {20_000: "too,many,cells\n"}))
    options = ReadOptions(in_memory_bytes=1000)
    with pytest.raises(DataError, match=r"row 19999 \(line 20000\)"):
        prepare(load_csv(path, options, ","), None, options)
    assert list((tmp_path / "cache" / "tables").iterdir()) == []
