"""Folders of sounds: classes, splits, metadata, and what is said where a folder is neither."""

from pathlib import Path

import pytest

from sounds import KINDS, wav_bytes, write_sounds
from transfuse.data import Role, read
from transfuse.data.loaded import ReadOptions
from transfuse.data.readers.audio import is_sound_folder, load_sounds
from transfuse.errors import DataError

OPTIONS = ReadOptions()


def test_each_sound_has_the_class_of_its_folder(tmp_path: Path) -> None:
    loaded = load_sounds(write_sounds(tmp_path / "sounds", each=2), None, OPTIONS)
    rows = loaded.dataset.to_dict()
    assert rows["label"] == sorted([*KINDS, *KINDS])
    assert all(Path(path).is_absolute() for path in rows["audio"])
    assert loaded.places([0, 7]) == ["chirp/000.wav, row 1", "tone/001.wav, row 8"]
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
    loaded = load_sounds(tmp_path, None, OPTIONS)
    assert loaded.dataset["label"][:] == ["noise", "tone", "tone"]
    assert loaded.notes == (
        f"{tmp_path.name}: files that are not named as sounds are left out (1 .txt).",
    )


def test_splits_become_a_column_and_one_can_be_taken(tmp_path: Path) -> None:
    write_sounds(tmp_path / "train", each=2, kinds=("tone", "noise"))
    write_sounds(tmp_path / "test", each=1, kinds=("tone", "noise"))
    table = read(tmp_path)
    assert table.values("split") == ["test"] * 2 + ["train"] * 4
    assert table.schema.roles == {"audio": Role.AUDIO, "label": Role.LABEL}
    assert len(read(tmp_path, split="test")) == 2
    with pytest.raises(DataError, match="no split 'dev'"):
        read(tmp_path, split="dev")


def test_metadata_names_the_sounds(tmp_path: Path) -> None:
    write_sounds(tmp_path, each=2, kinds=("tone",))
    lines = ["file_name,label,rating", "tone/000.wav,low,1", "tone/001.wav,high,2"]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    table = read(tmp_path)
    assert table.labels() == ["low", "high"]
    assert len(table.inputs()) == 2


def test_a_sound_beside_the_classes_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes([0.1]))
    assert load_sounds(tmp_path, None, OPTIONS).dataset.column_names == ["audio"]
    write_sounds(tmp_path, each=1, kinds=("tone",))
    with pytest.raises(DataError, match=r"a\.wav: a sound beside the folders of classes"):
        read(tmp_path)


def test_a_folder_without_sounds_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no sound")
    assert not is_sound_folder(tmp_path)
    with pytest.raises(DataError, match="there are no sounds in the folder"):
        load_sounds(tmp_path, None, OPTIONS)
    for name in ("b.wav", "c.mp3"):
        (tmp_path / name).write_bytes(wav_bytes([0.1]))
    assert is_sound_folder(tmp_path)
