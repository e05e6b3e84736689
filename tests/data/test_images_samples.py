"""Emoji as pictures: drawn from archives of npm, split by animal, cut off from the source."""

import hashlib
import io
import json
import tarfile
import urllib.error
from dataclasses import replace

import pytest

from transfuse.data import archives
from transfuse.data.archives import Archive, fetch
from transfuse.data.emoji import ANIMALS, STYLES, animals, named, symbols
from transfuse.data.images import decode
from transfuse.data.samples import SAMPLES, sample
from transfuse.errors import DataError

CIRCLE = '<circle cx="8" cy="8" r="6" fill="#f00"/>'
OTHERS = {"Activities": [], "Objects": ["chair"], "People & Body": ["baby", "man-cook"]}
REST = {"Symbols": [], "Travel & Places": [], "Food & Drink": ["pizza"]}


def packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}.json")
            data = json.dumps(content).encode()
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def iconify(names, *, known=True):
    return packed(
        {
            "icons": {"width": 16, "height": 16, "icons": {n: {"body": CIRCLE} for n in names}},
            "chars": {f"1f{n:03x}": name for n, name in enumerate(names)} if known else [],
            "metadata": {
                "categories": {
                    "Animals & Nature": [*ANIMALS, "rose"],
                    "Smileys & Emotion": ["smile", "grinning-cat"],
                    **OTHERS,
                    **REST,
                }
            },
        }
    )


ALL = [*ANIMALS, "rose", "smile", "grinning-cat", "chair", "baby", "man-cook", "pizza"]


def test_source_and_target_share_no_animal_that_is_tested():
    noto = iconify(ALL)
    source = symbols([noto])
    target = animals([noto, iconify(ALL), iconify(ALL, known=False), iconify([]), iconify(["cat"])])
    seen = {name for name, label in zip(source["name"], source["label"], strict=True)}
    held = {
        name for name, part in zip(target["name"], target["split"], strict=True) if part != "train"
    }
    assert held
    assert not held & seen
    trained = set(target["name"]) - held
    assert trained <= seen
    assert {"rose", "smile", "chair", "baby", "pizza"} == seen - trained
    labels = dict(zip(source["name"], source["label"], strict=True))
    assert (labels["rose"], labels["smile"], labels["baby"]) == ("plant", "face", "person")


def test_drawings_of_one_animal_are_in_one_split_and_group():
    target = animals([iconify(ALL), *[iconify(ALL)] * 4])
    assert len(target["name"]) == 4 * len(ANIMALS)
    assert set(target["style"]) == set(STYLES) - {"noto"}
    split = {}
    for point, part in zip(target["drawing"], target["split"], strict=True):
        assert split.setdefault(point, part) == part
    assert len(split) == len(ANIMALS) - 6
    for kind in set(ANIMALS.values()):
        parts = [p for p, one in zip(target["split"], target["label"], strict=True) if one == kind]
        assert {*parts} == {"train", "validation", "test"}
        assert 0.25 < parts.count("test") / len(parts) < 0.5


def test_the_sample_is_a_table_of_pictures(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFUSE_CACHE", str(tmp_path))
    content = iconify(ALL)
    digest = hashlib.sha256(content).hexdigest()
    asked = []

    def answer(address, timeout):
        asked.append(address)
        return io.BytesIO(content)

    monkeypatch.setattr(archives.urllib.request, "urlopen", answer)
    archive = Archive("@iconify-json/noto", "1.2.9", digest, registry="npm")
    monkeypatch.setitem(SAMPLES, "emoji", replace(SAMPLES["emoji"], archives=(archive,)))
    table = sample("emoji")
    image = decode(table.inputs()[0])
    assert image.size == (72, 72)
    assert image.getpixel((36, 36)) == (255, 0, 0)
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert len(table.groups()) == len(table)
    sample("emoji")
    assert asked == ["https://registry.npmjs.org/@iconify-json/noto/-/noto-1.2.9.tgz"]


def test_another_registry_is_asked_where_one_is_set(monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://mirror.example/npm/")
    archive = STYLES["fluent"]
    assert archive.address.startswith("https://mirror.example/npm/@iconify-json/fluent-emoji-flat/")
    assert archive.file == "iconify-json-fluent-emoji-flat-1.2.6.tgz"


def test_without_network_the_error_says_how_to_go_on(monkeypatch, tmp_path):
    def answer(address, timeout):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(archives.urllib.request, "urlopen", answer)
    with pytest.raises(DataError, match=r"no route.*npm pack @iconify-json/noto@1.2.9"):
        fetch(STYLES["noto"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_drawn_is_named():
    broken = packed(
        {
            "icons": {"width": 16, "height": 16, "icons": {"cat": {"body": "<circle"}}},
            "chars": {"1f408": "cat"},
            "metadata": {"categories": {}},
        }
    )
    with pytest.raises(DataError, match="emoji cat"):
        animals([broken, broken, *[iconify([])] * 3])


def test_emoji_have_names_in_two_languages():
    told = {
        "en": {"1F000": "kitten", "1F001-FE0F": "a seat", "1F002": "a pie", "1F003": "a cook"},
        "zh": {"1F000": "小猫", "1F001": "椅子", "1F003": "厨师"},
    }
    lists = {
        f"{language}/compact": [{"hexcode": code, "label": name} for code, name in names.items()]
        for language, names in told.items()
    }
    found = named([iconify(["black-cat", "chair", "pizza", "man-cook", "rose"]), packed(lists)])
    rows = list(zip(found["name"], found["language"], found["codepoint"], strict=True))
    assert rows == [
        ("kitten", "en", "1f000"),
        ("小猫", "zh", "1f000"),
        ("a seat", "en", "1f001"),
        ("椅子", "zh", "1f001"),
    ]
    assert found["image"][0] == found["image"][1]
