"""Folders of sounds: classes, splits, and what is said where a folder is neither."""

from pathlib import Path

import pytest

from sounds import KINDS, wav_bytes, write_sounds
from transfuse.data.readers.audio import is_sound_folder, load_sounds
from transfuse.errors import DataError


def test_each_sound_has_the_class_of_its_folder(tmp_path: Path) -> None:
    loaded = load_sounds(write_sounds(tmp_path / "sounds", each=2))
    rows = loaded.dataset.to_dict()
    assert rows["label"] == sorted([*KINDS, *KINDS])
    assert all(Path(path).is_absolute() for path in rows["audio"])
    assert loaded.places([0, 7]) == ["chirp/000.wav", "tone/001.wav"]
    assert loaded.name == "sounds"


def test_deeper_folders_count_for_the_class_above_and_other_files_not_at_all(
    tmp_path: Path,
) -> None:
    write_sounds(tmp_path, each=1, kinds=("tone", "noise"))
    deep = tmp_path / "tone" / "monday"
    deep.mkdir()
    (deep / "b.FLAC").write_bytes(wav_bytes([0.1, 0.2], format="FLAC"))
    (deep / "notes.txt").write_text("no sound")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.wav").write_bytes(wav_bytes([0.1]))
    (tmp_path / "bells").mkdir()
    loaded = load_sounds(tmp_path)
    assert loaded.dataset["label"][:] == ["noise", "tone", "tone"]
    assert loaded.notes == (f"{tmp_path.name}: no sounds in the folder 'bells'.",)


def test_one_split_is_taken_and_several_have_to_be_named(tmp_path: Path) -> None:
    write_sounds(tmp_path / "train", each=2, kinds=("tone", "noise"))
    assert len(load_sounds(tmp_path).dataset) == 4
    write_sounds(tmp_path / "test", each=1, kinds=("tone", "noise"))
    with pytest.raises(DataError, match="2 splits: 'test', 'train'"):
        load_sounds(tmp_path)
    assert len(load_sounds(tmp_path, "test").dataset) == 2
    with pytest.raises(DataError, match="no split 'dev'"):
        load_sounds(tmp_path, "dev")
    with pytest.raises(DataError, match="not divided into splits"):
        load_sounds(tmp_path / "test", "dev")


def test_sounds_alone_have_no_label_and_may_not_lie_beside_classes(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes([0.1]))
    assert load_sounds(tmp_path).dataset.column_names == ["audio"]
    write_sounds(tmp_path, each=1, kinds=("tone",))
    with pytest.raises(DataError, match=r"1 sounds? lies? beside"):
        load_sounds(tmp_path)


def test_a_folder_without_sounds_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no sound")
    assert not is_sound_folder(tmp_path)
    with pytest.raises(DataError, match="there are no sounds in the folder"):
        load_sounds(tmp_path)
    (tmp_path / "b.wav").write_bytes(wav_bytes([0.1]))
    assert is_sound_folder(tmp_path)
