"""Near pictures are found whatever their format, and few others; equal ones are left out."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transfuse.data import Cleaning, DataCard, OverlapNote, clean, make_card, overlap
from transfuse.data import overlap_within as within
from transfuse.data.images import NearPictures, Pictures, decode, near_pairs, pair_sheet
from transfuse.data.images.near import Sketch, sketch
from transfuse.data.images.pairs import write_sheet
from transfuse.data.images.pictures import Picture
from transfuse.data.table import Table
from transfuse.errors import DataError


def scene(seed, side=96):
    """A smooth picture, as photographs are: a few waves of colour."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:1:96j, 0:1:96j]
    pixels = np.zeros((96, 96, 3))
    for _ in range(6):
        fx, fy, phase = random.uniform(-4, 4), random.uniform(-4, 4), random.uniform(0, 7)
        wave = np.sin(7 * (fx * x + fy * y) + phase)
        pixels += wave[:, :, None] * random.uniform(10, 50, 3)
    image = Image.fromarray(np.clip(128 + pixels, 0, 255).astype(np.uint8))
    return image.resize((side, side), Image.Resampling.LANCZOS)


def saved(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def table(contents, labels=None, **more):
    labels = labels or ["a"] * len(contents)
    return Table.from_dict({"image": contents, "label": labels, **more})


def copies(seed):
    image = scene(seed)
    yield saved(image, "JPEG", quality=60)
    yield saved(image.resize((48, 48), Image.Resampling.LANCZOS))
    yield saved(image.resize((200, 200), Image.Resampling.BICUBIC), "WEBP", quality=80)
    yield saved(image.point(lambda value: min(255, value + 9)))


def test_copies_are_near_and_other_pictures_are_not():
    looks = [sketch(scene(seed)) for seed in range(60)]
    index = NearPictures()
    for number, look in enumerate(looks):
        index.add(number, look)
    found = total = 0
    for seed in range(60):
        for content in copies(seed):
            near = [number for number, _ in index.near(sketch(decode(content)))]
            assert set(near) <= {seed}
            found += near == [seed]
            total += 1
    assert found / total > 0.95


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30, unique=True),
    st.lists(st.integers(0, 63), max_size=8, unique=True),
    st.integers(0, 7),
)
def test_no_near_hash_is_missed(hashes, turned, bits):
    colours = np.zeros((16, 16, 3), dtype=np.uint8)
    index = NearPictures(bits=bits)
    for number, one in enumerate(hashes):
        index.add(number, Sketch(one, colours))
    asked = hashes[0]
    for bit in turned:
        asked ^= 1 << bit
    expected = {
        (number, (one ^ asked).bit_count())
        for number, one in enumerate(hashes)
        if (one ^ asked).bit_count() <= bits
    }
    assert set(index.near(Sketch(asked, colours))) == expected


def test_flat_pictures_are_told_apart_by_their_colour():
    colours = ["white", "black", "red", "blue"]
    contents = [saved(Image.new("RGB", (40, 40), colour)) for colour in colours]
    assert list(near_pairs(Pictures.of(contents))) == []
    again = [*contents, saved(Image.new("RGB", (90, 30), "red"))]
    assert list(near_pairs(Pictures.of(again))) == [(2, 4)]


def test_a_table_of_blank_pictures_is_not_compared_pair_by_pair():
    blank = Sketch(0, np.zeros((16, 16, 3), dtype=np.uint8))
    index = NearPictures()
    for number in range(5_000):
        index.add(number, blank)
    assert len(list(index.near(blank))) < 100


def test_the_number_of_bits_is_checked():
    with pytest.raises(ValueError, match="from 0 to 7"):
        NearPictures(bits=8)


def test_equal_pictures_are_left_out_and_contradictions_too():
    first, second, third = (saved(scene(seed)) for seed in range(3))
    rows = table([first, first, second, second, third], ["a", "a", "a", "b", "b"])
    cleaned, report = clean(rows)
    assert report.counts["duplicates"] == 1
    assert report.counts["conflicts"] == 2
    assert [one.read() for one in cleaned.inputs()] == [first, third]
    with pytest.raises(DataError, match="one label for one content"):
        clean(rows, Cleaning(conflicts="error"))
    assert make_card(rows).duplicates == 1


def test_near_pictures_are_left_out_where_that_is_asked_for():
    near = next(copies(0))
    rows = table([saved(scene(0)), near, saved(scene(1)), near[:-2] + b"\xff\xd9"], list("aaba"))
    assert len(clean(rows)[0]) == 3
    cleaned, report = clean(rows, Cleaning(near_duplicates=0.9))
    assert len(cleaned) == 2
    assert report.counts["near_duplicates"] == 1
    _, report = clean(table([saved(scene(0)), near], ["a", "b"]), Cleaning(near_duplicates=0.9))
    assert report.counts["near_conflicts"] == 1


def test_captions_of_one_picture_are_rows_of_their_own():
    picture = saved(scene(0))
    rows = Table.from_dict(
        {"image": [picture] * 3, "text": ["A cat.", "A cat sits.", "A cat."]},
        roles={"image": "image", "text": "text"},
    )
    cleaned, _ = clean(rows)
    assert cleaned.texts() == ["A cat.", "A cat sits."]


def test_overlap_of_two_tables_and_inside_one():
    pictures = [saved(scene(seed)) for seed in range(6)]
    near = next(copies(1))
    a, b = table(pictures[:4]), table([pictures[5], pictures[2], near])
    found = overlap(a, b)
    assert found.exact == ((2, 1),)
    assert found.near == ((1, 2),)
    assert overlap(a, b, threshold=None).near == ()
    rows = table([*pictures[:3], near, pictures[0]])
    assert within(rows) == type(found)(((0, 4),), ((1, 3),))
    parts = ["train", "train", "test", "train", "test"]
    assert within(rows, parts) == type(found)(((0, 4),), ())
    assert within(rows, ["train", "test", "test", "train", "train"]).near == ((1, 3),)


def test_an_overlap_is_shown(tmp_path):
    pictures = [saved(scene(seed)) for seed in range(4)]
    a, b = table(pictures), table([next(copies(2)), pictures[0], pictures[3]], split=["x"] * 3)
    found = overlap(a, b)
    note = OverlapNote.of(found, b, "a", a)
    assert (note.exact, note.near, len(note.sheets)) == (2, 1, 3)
    card = make_card(b, overlaps=[note])
    assert DataCard.from_json(card.to_json()) == card
    assert write_sheet(found, b, a, tmp_path / "sheet.png", "Found twice") == 3
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 480


def test_a_sheet_has_room_for_long_names():
    picture = Picture(saved(scene(0)))
    words = "a/very/long/path/to/a/picture/of/a/cat.png\nlabel"
    sheet = pair_sheet([(picture, picture, words, words)] * 4, "Title", side=60)
    assert np.asarray(sheet)[:, -20:].min() == 255


def test_facts_of_pictures():
    contents = [saved(scene(n, 20 + n)) for n in range(3)] + [saved(scene(9).convert("L"), "JPEG")]
    facts = make_card(table(contents, ["a", "b", "a", "b"])).pictures
    assert facts.formats == {"PNG": 3, "JPEG": 1}
    assert facts.modes == {"RGB": 3, "L": 1}
    assert (facts.width.quantiles["0"], facts.height.quantiles["100"]) == (20, 96)
    assert set(facts.strips) == {"a", "b"}
    assert all(one.startswith("data:image/jpeg;base64,") for one in facts.strips.values())


def test_a_card_of_several_labels_shows_a_picture_under_each():
    rows = table([saved(scene(n)) for n in range(2)], [["a", "b"], ["b"]])
    assert set(make_card(rows).pictures.strips) == {"a", "b"}


def test_distances_are_symmetric():
    looks = [sketch(scene(seed)) for seed in range(5)]
    for a, b in itertools.combinations(looks, 2):
        assert a.distance(b) == b.distance(a) > 0
        assert a.difference(b) == pytest.approx(b.difference(a))
    assert all(one.distance(one) == 0 == one.difference(one) for one in looks)


def test_rows_that_lack_a_text_or_a_picture_are_cleaned_and_described():
    pictures = [saved(scene(0)), None, saved(scene(2)), saved(scene(2)), None, None]
    texts = ["A  cat.", "A dog.", None, None, "A dog.", None]
    rows = Table.from_dict({"image": pictures, "text": texts, "label": list("abccbc")})
    cleaned, report = clean(rows, Cleaning(near_duplicates=0.9))
    assert cleaned.texts() == ["A cat.", "A dog.", None]
    assert (report.counts["duplicates"], report.counts["empty"]) == (2, 1)
    card = make_card(rows)
    assert card.pictures.missing == 3
    assert card.words.quantiles["100"] == 2
    assert overlap(rows, cleaned).exact == ((0, 0), (1, 1), (2, 2))
