"""Pictures from folders and tables: classes, splits, metadata, paths, bytes, and bad rows."""

import io
import json

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from transfuse.data import read
from transfuse.data.blobs import keys_of
from transfuse.data.images import Picture, Pictures, decode
from transfuse.data.table import Table
from transfuse.errors import DataError


def picture(seed=0, size=(24, 16), kind="PNG", **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def put(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def pets(tmp_path):
    folder = tmp_path / "pets"
    for kind in ("cats", "dogs"):
        for number in range(2):
            put(folder, **{f"{kind}__{number}.png": picture(hash((kind, number)) % 2**32)})
    return folder


def test_the_class_of_a_picture_is_its_folder(pets):
    put(pets, **{".hidden__0.png": b"", "cats__notes.txt": b"by hand"})
    table = read(pets)
    assert table.labels() == ["cats", "cats", "dogs", "dogs"]
    assert table.schema.column("image") == "image"
    assert [one.path for one in table.inputs()][:1] == [str(pets / "cats" / "0.png")]
    assert any("1 .txt" in note for note in table.notes)


def test_folders_of_splits_become_a_column(tmp_path, pets):
    data = tmp_path / "data"
    for split in ("train", "test"):
        (data / split).mkdir(parents=True)
        for kind in ("cats", "dogs"):
            (pets / kind).rename(data / split / kind) if split == "train" else put(
                data, **{f"test__{kind}__9.png": picture(9)}
            )
    table = read(data)
    assert table.values("split") == ["test", "test", *["train"] * 4]
    assert table.labels() == ["cats", "dogs", "cats", "cats", "dogs", "dogs"]
    assert any("by: column" in note for note in table.notes)
    train = read(data, split="train")
    assert len(train) == 4
    assert "split" not in train.dataset.column_names
    with pytest.raises(DataError, match="no split 'dev'"):
        read(data, split="dev")


def test_classes_that_are_called_like_splits_stay_classes(tmp_path):
    put(tmp_path, train__0=b"", **{"train__1.png": picture(1), "tram__1.png": picture(2)})
    assert read(tmp_path).labels() == ["train", "tram"]


def test_metadata_names_the_pictures_and_their_labels(tmp_path, pets):
    rows = "file_name,label,age\ncats/0.png,tabby,3\ndogs/1.png,poodle,4\n"
    (pets / "metadata.csv").write_text(rows)
    table = read(pets)
    assert table.labels() == ["tabby", "poodle"]
    assert table.values("age") == [3, 4]
    assert any("2 pictures have no row" in note for note in table.notes)
    lines = [{"file_name": "0.png", "caption": "a cat that sits"}] * 2
    (pets / "cats" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert len(read(pets / "cats")) == 2


def test_metadata_of_each_split_is_joined(tmp_path):
    for split in ("train", "test"):
        put(tmp_path, **{f"{split}__a.png": picture(len(split))})
        (tmp_path / split / "metadata.csv").write_text(f"file_name,label\na.png,{split[:2]}\n")
    table = read(tmp_path)
    assert table.values("split") == ["test", "train"]
    assert table.labels() == ["te", "tr"]
    assert all(one.path.startswith(str(tmp_path)) for one in table.inputs())


def test_metadata_without_names_is_refused(pets):
    (pets / "metadata.csv").write_text("picture,label\ncats/0.png,tabby\n")
    with pytest.raises(DataError, match="no column 'file_name'"):
        read(pets)


def test_paths_of_a_table_are_relative_to_its_file(pets, monkeypatch, tmp_path):
    (pets / "t.csv").write_text("file,label\ncats/0.png,cat\ndogs/0.png,dog\n")
    monkeypatch.chdir(tmp_path.parent)
    table = read(pets / "t.csv")
    assert table.schema.column("image") == "file"
    assert decode(table.inputs()[1]).size == (24, 16)
    whole = json.dumps({"photo": str(pets / "cats/1.png"), "label": "cat"})
    (tmp_path / "t.jsonl").write_text(whole + "\n")
    assert read(tmp_path / "t.jsonl", roles={"image": "photo"}).inputs()[0].read()


@pytest.mark.parametrize("stored", ["binary", "struct", "paths in structs"])
def test_pictures_in_parquet(tmp_path, pets, stored):
    contents = [picture(1), picture(2)]
    values = {
        "binary": contents,
        "struct": [{"bytes": one, "path": "x.png"} for one in contents],
        "paths in structs": [{"bytes": None, "path": f"pets/cats/{n}.png"} for n in range(2)],
    }[stored]
    pq.write_table(pa.table({"picture": values, "label": ["a", "b"]}), tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet")
    assert table.schema.column("image") == "picture"
    assert decode(table.inputs()[1]).size == (24, 16)
    turned = table.take([1, 0])
    assert turned.inputs()[0].read() == table.inputs()[1].read()


def test_pictures_of_a_dataset_are_not_decoded_on_reading(tmp_path):
    rows = {"image": [{"bytes": picture(n), "path": None} for n in range(3)], "label": [0, 1, 0]}
    kinds = {"image": datasets.Image(), "label": datasets.Value("int64")}
    data = datasets.Dataset.from_dict(rows, datasets.Features(kinds))
    table = read(data)
    assert table.inputs()[2].read() == picture(2)
    assert table.filter(lambda row: row["label"] == 1).inputs()[0].read() == picture(1)
    data.save_to_disk(tmp_path / "saved")
    assert len(read(tmp_path / "saved").inputs()) == 3


def test_several_columns_of_pictures_are_a_question():
    one = {"front": [picture(1)], "back": [picture(2)], "label": ["a"]}
    with pytest.raises(DataError, match="2 columns could be the image"):
        Table.from_dict(one)
    assert Table.from_dict(one, roles={"image": "back"}).inputs()[0].read() == picture(2)
    with_mask = {"image": ["a.png"], "mask": ["b.png"], "label": ["a"]}
    with pytest.raises(DataError, match=r"a\.png: cannot be read"):
        Table.from_dict(with_mask)


def test_every_bad_picture_is_told_by_its_row(pets):
    large = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(large, "PNG")
    noise = picture(5, (200, 200), "JPEG")
    put(
        pets,
        **{
            "cats__2.png": b"not a picture at all",
            "cats__3.jpg": noise[: len(noise) // 2],
            "cats__4.png": large.getvalue(),
            "cats__5.png": b"",
            "cats__6.gif": b"<!DOCTYPE html><html>",
        },
    )
    lines = ["image,label", "cats/0.png,x", "cats/9.png,x", ",x"]
    lines += [f"cats/{name},x" for name in ("2.png", "3.jpg", "4.png", "5.png", "6.gif")]
    (pets / "t.csv").write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read(pets / "t.csv")
    told = [(one.where, one.what) for one in caught.value.problems]
    assert len(told) == 7
    words = ["cannot be read (No such", "no image", "begins with the text", "cut off"]
    words += ["too many pixels", "an empty file", "a web page"]
    for (where, what), row, word in zip(
        told,
        range(2, 9),
        words,
        strict=True,
    ):
        assert f"row {row} " in where
        assert "column 'image'" in where
        assert word in what
    assert all(one.fix for one in caught.value.problems)
    with pytest.raises(DataError) as caught:
        read(pets)
    assert len(caught.value.problems) == 5
    assert "cats/2.png" in caught.value.problems[0].where


def test_a_picture_beside_the_folders_of_classes_is_told(pets):
    put(pets, **{"stray.png": picture(7)})
    with pytest.raises(DataError, match=r"stray\.png.*beside the folders of classes"):
        read(pets)


def test_a_missing_picture_is_no_fault_where_there_is_text(pets):
    (pets / "t.csv").write_text("text,image,label\nA cat.,cats/0.png,x\nNo cat.,,y\n")
    table = read(pets / "t.csv")
    assert [one is None for one in table.inputs().parts["image"]] == [False, True]
    assert "1 of 2 rows have no picture in column 'image'" in table.notes[-1]


def test_a_missing_picture_is_a_fault_where_there_is_nothing_else(pets):
    (pets / "t.csv").write_text("image,label\ncats/0.png,x\n,y\n")
    with pytest.raises(DataError, match="no image; expected an image in each row"):
        read(pets / "t.csv")


def test_keys_are_those_of_the_content(pets):
    content = picture(3)
    put(pets, **{"cats__2.png": content, "dogs__2.png": content})
    keys = keys_of(read(pets).inputs())
    assert keys[2] == keys[5]
    assert len(set(keys.tolist())) == 5
    at_hand = Pictures.of([content, None, Picture(path=str(pets / "cats/2.png"))])
    assert keys_of(at_hand)[0] == keys_of(at_hand)[2] == keys[2]
    assert read(pets).row_keys()[2] == read(pets).row_keys()[5]


def test_the_fingerprint_does_not_tell_where_a_folder_is(pets, tmp_path):
    before = read(pets).fingerprint
    pets.rename(tmp_path / "moved")
    assert read(tmp_path / "moved").fingerprint == before


def test_rows_are_looked_up_one_by_one():
    rows = Pictures.of([picture(n) for n in range(5)])
    assert rows[-1].read() == picture(4)
    assert [one.read() for one in rows[1:3]] == [picture(1), picture(2)]
    assert [one.read() for one in rows.take([3, 0])] == [picture(3), picture(0)]
    with pytest.raises(IndexError):
        rows[5]
