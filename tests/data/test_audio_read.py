"""Tables and folders of sounds as `read` gives them, with every bad row told."""

from pathlib import Path

import datasets
import numpy as np
import pytest

from sounds import RATE, wav_bytes, wave, write_sounds
from transfuse.data import Role, Table, read
from transfuse.data.audio import Clips
from transfuse.errors import DataError


def test_a_folder_of_sounds_is_a_table_of_sounds(tmp_path: Path) -> None:
    table = read(write_sounds(tmp_path / "sounds", each=3))
    assert table.schema.roles == {"audio": Role.AUDIO, "label": Role.LABEL}
    assert table.reads == (Role.AUDIO,)
    rows = table.inputs()
    assert isinstance(rows, Clips)
    assert len(rows) == 12
    assert table.class_counts == {"chirp": 3, "noise": 3, "pulses": 3, "tone": 3}
    assert any("all 0.5 s long" in note for note in table.notes)


def test_a_picture_among_sounds_does_not_make_a_folder_of_pictures(tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds", each=1)
    (tmp_path / "sounds" / "tone" / "cover.png").write_bytes(b"\x89PNG")
    assert read(tmp_path / "sounds").schema.has(Role.AUDIO)


def test_paths_are_relative_to_their_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sounds(tmp_path / "data" / "wavs", each=2, kinds=("tone", "noise"))
    lines = ["file_name,label"] + [
        f"wavs/{kind}/00{number}.wav,{kind}" for kind in ("tone", "noise") for number in (0, 1)
    ]
    (tmp_path / "data" / "table.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    table = read("data/table.csv")
    assert table.schema.roles["file_name"] == Role.AUDIO
    clips = table.inputs()
    monkeypatch.chdir("/")
    assert [len(clip.read()) for clip in clips if clip] == [8044] * 4


def test_bytes_structs_and_hub_columns_are_sounds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sounds = [wav_bytes(wave("tone", rng)), wav_bytes(wave("noise", rng))]
    labels = ["a", "b"]
    by_bytes = Table.from_dict({"recording": sounds, "label": labels})
    assert by_bytes.reads == (Role.AUDIO,)
    stored = datasets.Dataset.from_dict(
        {"x": [{"bytes": one, "path": None} for one in sounds], "label": labels}
    ).cast_column("x", datasets.Audio(decode=False))
    by_feature = read(stored)
    assert by_feature.schema.roles["x"] == Role.AUDIO
    assert by_feature.row_keys() == by_bytes.row_keys()


def test_a_table_is_the_same_wherever_its_files_are(tmp_path: Path) -> None:
    one = read(write_sounds(tmp_path / "one" / "sounds", each=2))
    two = read(write_sounds(tmp_path / "two" / "sounds", each=2))
    other = read(write_sounds(tmp_path / "three" / "sounds", each=2, seed=1))
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_all_bad_sounds_are_told_at_once(tmp_path: Path) -> None:
    folder = write_sounds(tmp_path / "sounds", each=4)
    (folder / "noise" / "000.wav").write_bytes(b"")
    whole = (folder / "tone" / "001.wav").read_bytes()
    (folder / "tone" / "001.wav").write_bytes(whole[:-100])
    (folder / "tone" / "002.wav").write_bytes(b"nothing but text")
    with pytest.raises(DataError) as caught:
        read(folder)
    said = [(problem.where, problem.what) for problem in caught.value.problems]
    assert [where.split(", column")[0] for where, _ in said] == [
        "sounds, noise/000.wav, row 5",
        "sounds, tone/001.wav, row 14",
        "sounds, tone/002.wav, row 15",
    ]
    assert said[0][1] == "an empty sound file"
    assert said[1][1] == "a truncated sound: 100 bytes are missing at the end"


def test_silence_is_noted_and_a_missing_sound_is_bad() -> None:
    sounds = [wav_bytes(wave("tone", np.random.default_rng(0))), wav_bytes(np.zeros(RATE))]
    table = Table.from_dict({"audio": sounds, "label": ["a", "b"]})
    assert table.notes[-1] == "table: 1 sound is silent: row 2."
    with pytest.raises(DataError, match="row 2, column 'audio': no audio"):
        Table.from_dict({"audio": [sounds[0], None], "label": ["a", "b"]})
    beside = Table.from_dict({"audio": [sounds[0], None], "text": ["a b", "c"], "label": [0, 1]})
    clips = beside.inputs((Role.AUDIO,))
    assert [clip is None for clip in clips] == [False, True]


def test_two_columns_of_sounds_have_to_be_told_apart() -> None:
    sounds = [wav_bytes(wave("tone", np.random.default_rng(0)))] * 2
    columns = {"left": sounds, "right": sounds, "label": ["a", "b"]}
    with pytest.raises(DataError, match="2 columns could be the audio"):
        Table.from_dict(columns)
    table = Table.from_dict(columns, roles={"audio": "left"})
    assert table.schema.columns(Role.AUDIO) == ("left",)
