"""Augmentation of pictures: the label's picture stays, copies are lazy and the same each time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny_pictures import encoded, photo, photos, tiny_encoder
from transfuse.data.augment import AUGMENTATIONS, Augmenting, WordDropout
from transfuse.data.augment_pictures import (
    PICTURE_AUGMENTATIONS,
    ColourJitter,
    Crop,
    Erase,
    Flip,
    MildPicture,
    Rotate,
)
from transfuse.data.images import Pictures, decode
from transfuse.data.images.augment import VariedPictures
from transfuse.data.rows import Records
from transfuse.errors import DataError, RecipeError
from transfuse.models.engine import Engine
from transfuse.models.features import pooled_features
from transfuse.models.store import Store
from transfuse.recipe.methods import build, describe

pytest.importorskip("kornia", reason="kornia varies pictures, and is not installed here")

KINDS = tuple(PICTURE_AUGMENTATIONS.values())
SEEDS = st.integers(0, 2**31)
SIDES = st.integers(1, 40)


def colours(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.array(photo(seed, width, height), dtype=np.float32) / 255


@pytest.mark.parametrize("kind", KINDS)
@given(SIDES, SIDES, SEEDS)
@settings(max_examples=8, deadline=None)
def test_size_range_and_type_stay(kind, height, width, seed):
    before = colours(height, width)
    kept = before.copy()
    after = kind()(before, np.random.default_rng(seed))
    assert after.shape == before.shape
    assert after.dtype == np.float32
    assert np.isfinite(after).all()
    assert after.min() > -0.1
    assert after.max() < 1.1
    assert np.array_equal(before, kept)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_draws_give_the_same_picture(kind):
    results = [kind()(colours(), np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(*results)


@pytest.mark.parametrize("kind", KINDS)
def test_most_copies_differ(kind):
    rng = np.random.default_rng(0)
    before = colours()
    changed = [not np.array_equal(kind()(before, rng), before) for _ in range(20)]
    assert sum(changed) > 3


@pytest.mark.parametrize(
    "nothing",
    [Flip(0.0), Crop(1.0, 1.0), Rotate(0.0), ColourJitter(0.0, 0.0), Erase(0.0)],
)
def test_what_does_nothing_changes_nothing(nothing):
    after = nothing(colours(), np.random.default_rng(1))
    assert np.allclose(after, colours(), atol=1e-5)


def test_each_does_what_it_says():
    before, rng = colours(), np.random.default_rng(0)
    assert np.array_equal(Flip(1.0)(before, rng), before[:, ::-1])
    assert np.array_equal(Flip(1.0, vertical=True)(before, rng), before[::-1, ::-1])
    covered = (Erase(1.0, 0.25)(before, rng) != before).any(2).mean()
    assert 0 < covered < 0.3
    half = Rotate(180.0)(before, type("Draw", (), {"uniform": lambda *_: 180.0})())
    assert np.allclose(half[2:-2, 2:-2], before[::-1, ::-1][2:-2, 2:-2], atol=0.02)
    grey = np.full((8, 8, 3), 0.4, np.float32)
    lit = ColourJitter(0.5, 0.0)(grey, rng)
    assert lit.std() < 1e-6
    assert not np.array_equal(lit, grey)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Flip, {"rate": 1.1}),
        (Crop, {"least": 0.0}),
        (Crop, {"stretch": 0.5}),
        (Rotate, {"degrees": 181.0}),
        (ColourJitter, {"strength": 1.0}),
        (ColourJitter, {"hue": 0.6}),
        (Erase, {"most": 1.0}),
        (Erase, {"rate": float("nan")}),
    ],
)
def test_options_are_checked(kind, options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        kind(**options)


def test_recipes_can_name_them():
    assert build(AUGMENTATIONS, {"crop": {"least": 0.8}}, "augment") == Crop(0.8)
    for method in describe(PICTURE_AUGMENTATIONS):
        assert method.summary.endswith(".")
        assert all(option.text for option in method.options)


def test_copies_are_lazy_and_the_same_each_time():
    pictures = photos(4)
    first, second = Augmenting(variants=2).vary(pictures, 7)
    assert isinstance(first, VariedPictures)
    assert len(first) == 4
    again = Augmenting(variants=2).vary(pictures, 7)[0]
    other = Augmenting(variants=2).vary(pictures, 8)[0]
    keys = [each.keys().tolist() for each in (first, second, again, other)]
    assert keys[0] == keys[2]
    assert len({key for found in (*keys[:2], keys[3], pictures.keys()) for key in found}) == 16
    shown = [np.array(each[1].decode()) for each in (first, second, again)]
    assert np.array_equal(shown[0], shown[2])
    assert not np.array_equal(shown[0], shown[1])
    assert [row.key for row in first] == [key.ljust(16, b"\0") for key in first.keys().tolist()]


def test_a_broken_picture_fails_only_when_it_is_shown():
    varied = Augmenting(variants=1).vary(Pictures.of([b"<html>", None]), 0)[0]
    assert varied[1] is None
    with pytest.raises(DataError, match="not a picture"):
        varied[0].decode()
    assert "row 1" in varied.place(0)


def test_where_a_picture_stands_does_not_matter():
    (whole,) = Augmenting(variants=1).vary(photos(5), 3)
    assert isinstance(whole, VariedPictures)
    part = whole.take([4, 2])
    assert np.array_equal(np.array(part[0].decode()), np.array(whole[4].decode()))
    assert part[:1].keys().tolist() == whole.keys()[[4]].tolist()


def test_an_encoder_reads_them_as_any_pictures(tmp_path):
    encoder = tiny_encoder("vit")
    (copy,) = Augmenting((Flip(1.0),), 1).vary(photos(6), 3)
    rows = encoder.preprocess(copy)
    store, engine = Store(tmp_path), Engine()
    vectors = pooled_features(encoder, rows, rows.keys(), store=store, engine=engine)
    plain = encoder.preprocess(photos(6))
    flipped = {"pixels": encoder.collate(plain)["pixels"].flip(3)}
    with torch.no_grad():
        assert np.allclose(vectors, encoder(flipped).pooled.numpy(), atol=2e-2)
        assert not np.allclose(vectors, encoder(encoder.collate(plain)).pooled.numpy(), atol=2e-2)


def test_a_large_picture_is_scaled_down_before_it_is_varied():
    (copy,) = Augmenting((Crop(0.9),), 1).vary(Pictures.of([encoded(photo(1, 900, 600))]), 3)
    assert copy[0].decode(100).size == (150, 100)
    assert decode(copy[0].picture).size == (900, 600)


def test_texts_and_pictures_are_not_taken_for_each_other():
    with pytest.raises(RecipeError, match="the model reads image, got word_dropout"):
        Augmenting((WordDropout(),)).vary(photos(2), 0)
    with pytest.raises(RecipeError, match="the model reads text, got flip"):
        Augmenting((Flip(),)).vary(["a", "b"], 0)
    with pytest.raises(RecipeError, match="nothing varies"):
        Augmenting().vary([b"sound"], 0)


def test_of_several_columns_each_gets_its_own():
    rows = Records({"text": ["one two three"] * 3, "image": photos(3), "fields": [{}, {}, {}]})
    (both,) = Augmenting((Flip(1.0), WordDropout(0.9)), 1).vary(rows, 0)
    assert isinstance(both, Records)
    assert isinstance(both.parts["image"], VariedPictures)
    assert both.parts["image"].methods == (Flip(1.0),)
    assert both.parts["text"] != rows.parts["text"]
    assert both.parts["fields"] == [{}, {}, {}]
    (pictures,) = Augmenting((Flip(1.0),), 1).vary(rows, 0)
    assert pictures.parts["text"] == rows.parts["text"]
    (usual,) = Augmenting(variants=1).vary(rows, 0)
    assert usual.parts["image"].methods == (MildPicture(),)


def test_a_missing_text_stays_missing():
    (copy,) = Augmenting((WordDropout(0.5),), 1).vary(
        Records({"text": ["one two", None], "image": photos(2)}), 0
    )
    assert copy.parts["text"][1] is None
