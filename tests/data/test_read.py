"""Where tables come from: files, folders, names, frames, datasets."""

from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.data.loaded import ReadOptions
from transfuse.data.read import read
from transfuse.data.readers.arrow import load_parquet
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

COLUMNS: dict[str, list[Any]] = {"text": ["a b", "c d", "e f"], "label": [1, 0, 1]}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFUSE_CACHE", str(tmp_path / "cache"))


def problem(source: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(source, **options)
    (found,) = caught.value.problems
    return str(found)


def test_tables_in_memory() -> None:
    data = datasets.Dataset.from_dict(COLUMNS)
    for source in (COLUMNS, pd.DataFrame(COLUMNS), data, read(data), data.with_format("numpy")):
        found = read(source, name="given")
        assert found.texts() == COLUMNS["text"]
        assert found.labels() == COLUMNS["label"]
    assert read(COLUMNS, name="given").name == "given"


def test_a_table_can_be_read_again_with_other_roles() -> None:
    first = read({**COLUMNS, "stars": [5, 1, 4]})
    second = read(first, roles={"label": "stars"})
    assert second.labels() == [5, 1, 4]
    assert read(first) is first


def test_something_else_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="cannot read a table from int"):
        read(3)  # type: ignore[arg-type]


def test_class_numbers_become_the_names_that_the_dataset_gives() -> None:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["bad", "good"]),
            "tags": datasets.List(datasets.ClassLabel(names=["t0", "t1"])),
        }
    )
    data = datasets.Dataset.from_dict({**COLUMNS, "tags": [[1], [], [0, 1]]}, features=features)
    found = read(data, roles={"label": "label"})
    assert found.labels() == ["good", "bad", "good"]
    assert found.values("tags") == [["t1"], [], ["t0", "t1"]]
    unlabelled = datasets.Dataset.from_dict(
        {**COLUMNS, "label": [1, -1, 0], "tags": [[], [], []]}, features=features
    )
    assert problem(unlabelled).startswith("dataset, row 2, column 'label': no label")


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({**COLUMNS, "label": pd.Categorical(["u", "v", "u"])})
    frame.to_parquet(path)
    assert read(path).labels() == ["u", "v", "u"]
    assert read(str(path), name="n").name == "n"


def test_a_large_parquet_file_is_mapped_from_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"text": [f"row {n}" for n in range(25_000)]}).to_parquet(path)
    loaded = load_parquet(path, ReadOptions(in_memory_bytes=1000))
    assert len(list((tmp_path / "cache" / "tables").iterdir())) == 1
    assert loaded.dataset["text"][24_999] == "row 24999"


def test_bad_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 not really PAR1")
    assert problem(path).startswith("t.parquet: cannot be read as Parquet")
    pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), path)
    assert "more than one column named 'text'" in problem(path)
    pq.write_table(pa.table({"text": ["a", None], "label": [1.0, float("nan")]}), path)
    with pytest.raises(DataError) as caught:
        read(path)
    assert [found.where for found in caught.value.problems] == [
        "t.parquet, row 2, column 'text'",
        "t.parquet, row 2, column 'label'",
    ]


def test_saved_datasets(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = datasets.Dataset.from_dict(COLUMNS)
    one, two = tmp_path / "one", tmp_path / "two"
    datasets.disable_progress_bars()
    data.save_to_disk(str(one))
    datasets.DatasetDict(train=data, test=data.select([0])).save_to_disk(str(two))
    datasets.enable_progress_bars()
    capfd.readouterr()
    assert read(one).labels() == [1, 0, 1]
    assert len(read(two, split="test")) == 1
    assert problem(two).startswith("two: 2 splits: 'train', 'test'; expected one. Say which")
    assert "no split 'dev'; expected one of 'train', 'test'" in problem(two, split="dev")
    assert capfd.readouterr().err == ""
    assert problem(datasets.DatasetDict(train=data)).startswith("dataset: a dataset with the spl")


def test_a_folder_without_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text\na b\n")
    assert "a folder without a saved dataset; it holds x.csv" in problem(tmp_path)


def test_a_missing_file_is_told_with_its_nearest_names(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text\na b\n")
    assert "no such file. Did you mean reviews.csv?" in problem(tmp_path / "reviws.csv")
    assert "Tables in its folder: reviews.csv." in problem(tmp_path / "q.parquet")
    assert "There is no folder" in problem(tmp_path / "nowhere" / "x.csv")


def test_an_unknown_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_text("x")
    assert "unknown kind of file '.xlsx'; expected one of .csv" in problem(path)
    (tmp_path / "empty.parquet").touch()
    assert problem(tmp_path / "empty.parquet").startswith("empty.parquet: the file is empty")


@settings(max_examples=150, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.text(st.sampled_from('ab,"\n\r\t1.|{}[]:é内\0'), max_size=60).map(str.encode),
        st.text(st.sampled_from('a,"\n'), max_size=60).map(lambda s: f"text,label\n{s}".encode()),
    ),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet"]),
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-16", "gb18030"]),
)
def test_whatever_a_file_holds_gives_a_table_or_named_problems(
    content: bytes, suffix: str, encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    problems: tuple[Problem, ...] = ()
    found: Table | None
    try:
        found = read(path, encoding=encoding)
    except DataError as error:
        found, problems = None, error.problems
    if found is None:
        assert problems
        assert all(problem.where and problem.what for problem in problems)
    else:
        assert all(isinstance(text, str) for text in found.texts())
        assert len(found.fingerprint) == 32


def test_deep_and_long_json_is_refused(tmp_path: Path) -> None:
    for name in ("t.json", "t.jsonl"):
        path = tmp_path / name
        path.write_text('{"text": ' + "[" * 200_000)
        assert "JSON that cannot be read" in problem(path)
        path.write_text('{"text": ' + "1" * 5000 + "}")
        assert "JSON that cannot be read" in problem(path)


def test_hub_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def load(name: str, configuration: str | None) -> datasets.DatasetDict:
        asked.append((name, configuration, datasets.is_progress_bar_enabled()))
        return datasets.DatasetDict(train=datasets.Dataset.from_dict(COLUMNS))

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    before = datasets.is_progress_bar_enabled()
    assert read("owner/name").labels() == [1, 0, 1]
    assert read("glue:sst2", split="train").name == "glue:sst2"
    assert asked == [("owner/name", None, False), ("glue", "sst2", False)]
    assert datasets.is_progress_bar_enabled() == before
    (tmp_path / "owner").mkdir()
    assert "no such file" in problem("owner/name")
    assert "no such file" in problem("./name")
    assert len(asked) == 2


def test_a_hub_name_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, configuration: str | None) -> None:
        raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist")

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = problem("reviewz")
    assert found.startswith("reviewz: no such file, and no dataset of this name could be loaded")
