"""Tables, and what happens to them before a model sees them. Start with `table.py`.

`read.py` makes a table from wherever it is, `clean.py` mends it, `split.py` divides it and
`batching.py` puts its rows into batches. Nothing here knows of torch or transformers.
"""

from transfuse.data.augment import (
    AUGMENTATIONS,
    Augmentation,
    Augmenting,
    Typos,
    WordDropout,
    WordSwap,
)
from transfuse.data.batching import Batching, Stream, evaluation_batches, plan_epoch
from transfuse.data.budget import few_shot, take_budget
from transfuse.data.card import DataCard, Distance, OverlapNote, make_card
from transfuse.data.clean import Cleaning, CleaningReport, clean
from transfuse.data.episodes import Episodes, EpisodeStream
from transfuse.data.fields import FieldTable
from transfuse.data.overlap import Overlap, overlap, overlap_within
from transfuse.data.ragged import Ragged
from transfuse.data.read import read
from transfuse.data.rows import Preprocessed, Records, narrowed, picked
from transfuse.data.samples import SAMPLES, Sample, sample
from transfuse.data.schema import Role, Schema
from transfuse.data.seeds import seed_for
from transfuse.data.segment import segment
from transfuse.data.split import SPLIT_COLUMN, Split, Splitting, split
from transfuse.data.table import READ, Table

__all__ = [
    "AUGMENTATIONS",
    "READ",
    "SAMPLES",
    "SPLIT_COLUMN",
    "Augmentation",
    "Augmenting",
    "Batching",
    "Cleaning",
    "CleaningReport",
    "DataCard",
    "Distance",
    "EpisodeStream",
    "Episodes",
    "FieldTable",
    "Overlap",
    "OverlapNote",
    "Preprocessed",
    "Ragged",
    "Records",
    "Role",
    "Sample",
    "Schema",
    "Split",
    "Splitting",
    "Stream",
    "Table",
    "Typos",
    "WordDropout",
    "WordSwap",
    "clean",
    "evaluation_batches",
    "few_shot",
    "make_card",
    "narrowed",
    "overlap",
    "overlap_within",
    "picked",
    "plan_epoch",
    "read",
    "sample",
    "seed_for",
    "segment",
    "split",
    "take_budget",
]
