"""Columns that are typed already: Parquet files, saved datasets, and the Hugging Face hub."""

from collections.abc import Mapping
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.exceptions import DatasetsError

from transfuse.data.columns import new_dataset, quiet
from transfuse.data.loaded import Loaded, ReadOptions
from transfuse.data.readers.sink import Sink, stored_table
from transfuse.errors import DataError, Problem

__all__ = ["is_saved", "load_dataset", "load_folder", "load_hub", "load_parquet"]


def load_parquet(path: Path, options: ReadOptions) -> Loaded:
    """Reads a Parquet file.

    Args:
        path: The file.
        options: How much is kept in memory.

    Returns:
        Its columns.

    Raises:
        DataError: If the file is not Parquet or is damaged, or two columns have one name.
    """

    def convert(sink: Sink) -> pa.Table:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
            if twice:
                listed = ", ".join(map(repr, twice))
                what = f"more than one column named {listed}"
                raise DataError(Problem(path.name, what, "one of each name"))
            for batch in file.iter_batches(batch_size=10_000):
                sink.write(batch)
            return sink.finish(schema, keep=True)

    try:
        table = stored_table(path, options, convert)
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        what = f"cannot be read as Parquet ({reason})"
        raise DataError(Problem(path.name, what, fix="Write the file again.")) from None
    return Loaded(new_dataset(table), path.name)


def is_saved(path: Path) -> bool:
    """Whether a folder is one that `Dataset.save_to_disk` has written."""
    return any((path / name).exists() for name in ("dataset_dict.json", "state.json"))


def load_folder(path: Path, split: str | None) -> Loaded:
    """Opens a folder that `Dataset.save_to_disk` has written; it stays memory-mapped.

    Args:
        path: The folder.
        split: Which of its splits, where it has several.

    Returns:
        The dataset.

    Raises:
        DataError: If the folder holds no dataset, or not that split.
    """
    if not is_saved(path):
        names = sorted(child.name for child in path.iterdir())[:8]
        what = "a folder without a saved dataset" + (f"; it holds {', '.join(names)}" * bool(names))
        expected = "a folder of pictures, one written by Dataset.save_to_disk, or a file"
        raise DataError(Problem(str(path), what, expected))
    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, pa.ArrowException, DatasetsError) as error:
        what = f"cannot be opened as a saved dataset ({error})"
        raise DataError(Problem(str(path), what)) from None
    return load_dataset(_one_split(found, split, path.name), path.name)


def load_hub(name: str, split: str | None) -> Loaded:
    """Gets a dataset by its name on the Hugging Face hub, from the local cache if it is there.

    Args:
        name: The name, such as `imdb` or `owner/name`; `glue:sst2` names a configuration.
        split: Which of its splits, where it has several.

    Returns:
        The dataset.

    Raises:
        DataError: If it cannot be had, or has not that split.
    """
    place, _, configuration = name.partition(":")
    try:
        with quiet():
            found = datasets.load_dataset(place, configuration or None)
    except (OSError, ValueError, RuntimeError, DatasetsError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            Problem(
                name,
                f"no such file, and no dataset of this name could be loaded ({reason})",
                "a file, a folder, or the name of a dataset on the Hugging Face hub",
                "Check the spelling, and the connection if it is a hub name.",
            )
        ) from None
    return load_dataset(_one_split(found, split, name), name)


def load_dataset(dataset: datasets.Dataset, name: str) -> Loaded:
    """Takes over a dataset as it is."""
    return Loaded(dataset.with_format(None), name)


def _one_split(
    found: datasets.Dataset | Mapping[str, datasets.Dataset], split: str | None, name: str
) -> datasets.Dataset:
    if not isinstance(found, Mapping):
        if split is not None and str(found.split) != split:
            what = f"no split {split!r}; this dataset is not divided into splits"
            raise DataError(Problem(name, what, fix="Leave the split out."))
        return found
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    listed = ", ".join(map(repr, found))
    if split is None:
        fix = f"Say which, for instance split={next(iter(found))!r}."
        raise DataError(Problem(name, f"{len(found)} splits: {listed}", "one", fix))
    if split not in found:
        raise DataError(Problem(name, f"no split {split!r}", f"one of {listed}"))
    return found[split]
