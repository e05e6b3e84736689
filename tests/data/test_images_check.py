"""`transfuse check` of pictures: what is in a folder twice, in words, on a page and on a sheet."""

import io

import numpy as np
import pytest
from PIL import Image

from transfuse.cli import main
from transfuse.report import write_card
from transfuse.report.pictures import inline_images


def scene(seed, size=64):
    """A smooth picture, as photographs are."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def pets(tmp_path):
    folder = tmp_path / "pets"
    for split, kind, name, image, options in (
        *(("train", "cat", f"{n}.png", scene(n), {}) for n in range(5)),
        *(("train", "dog", f"{n}.png", scene(n), {}) for n in range(5, 9)),
        ("test", "cat", "copy.jpg", scene(2, 90), {"quality": 70}),
        ("test", "dog", "new.png", scene(20), {}),
        ("train", "dog", "again.png", scene(6), {}),
    ):
        path = folder / split / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
    return folder


def test_what_is_there_twice_is_told_and_shown(pets, tmp_path, capsys):
    sheet, page = tmp_path / "twice.png", tmp_path / "card.html"
    assert main(["check", str(pets), "--sheet", str(sheet), "--output", str(page)]) == 0
    said = capsys.readouterr().out
    assert "10 PNG, 1 JPEG" in said
    across = said.split("Rows that are in another split too")[1].split("Rows")[0].split()
    assert across == ["equal", "0", "nearly", "equal", "1"]
    inside = said.split("Rows that are in the table itself too")[1].split("sheet")[0].split()
    assert inside == ["equal", "1", "nearly", "equal", "1"]
    with Image.open(sheet) as image:
        assert image.height > 100
    html = page.read_text(encoding="utf-8")
    assert html.count('<img src="data:image/jpeg;base64,') == 2 + 1 + 2
    assert "img-src data:" in html
    assert "http" not in html.split("</style>")[1].replace("http-equiv", "")


def test_a_folder_without_copies_has_no_sheet(pets, tmp_path, capsys):
    for path in (pets / "test" / "cat" / "copy.jpg", pets / "train" / "dog" / "again.png"):
        path.unlink()
    assert main(["check", str(pets), "--sheet", str(tmp_path / "twice.png")]) == 0
    assert "no picture was found twice" in capsys.readouterr().out
    assert not (tmp_path / "twice.png").exists()


def test_pictures_that_only_decoding_finds_broken_are_told(pets, capsys):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[9_000:9_200] = bytes(200)
    (pets / "train" / "cat" / "0.png").write_bytes(bytes(content))
    assert main(["check", str(pets)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "0.png" in said
    assert "cannot be decoded" in said or "cut off" in said


def test_a_sample_of_pictures_is_not_written_as_text(capsys, monkeypatch):
    from transfuse.data import samples
    from transfuse.data.table import Table

    buffer = io.BytesIO()
    scene(0).save(buffer, "PNG")
    table = Table.from_dict({"image": [buffer.getvalue()], "label": ["a"]})
    monkeypatch.setattr("transfuse.data.sample", lambda name: table)
    assert samples.SAMPLES["animals"].roles["image"] == "image"
    assert main(["samples", "get", "animals", "--output", "animals.csv"]) == 2
    assert ".parquet" in capsys.readouterr().err


def test_a_card_shows_only_images_that_are_in_it(tmp_path):
    card = {"pictures": {"strips": {"a": "https://example.org/x.png", "b": 'data:x" onload="'}}}
    page = write_card(card, tmp_path / "card.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert inline_images("data:image/png;base64,AA") == ()
