"""Cleaning: characters mended, misleading rows left out, every action counted and shown."""

import json
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.data.clean import Cleaning, CleaningReport, clean
from transfuse.data.table import Table
from transfuse.errors import DataError


def table_of(texts, labels=None, **columns):
    columns = {"text": list(texts), **columns}
    roles = {"text": "text", "label": None}
    if labels is not None:
        columns["label"] = list(labels)
        roles["label"] = "label"
    return Table.from_dict(columns, name="made", roles=roles)


def cleaned(text, **options):
    return clean(table_of([text, "another"]), Cleaning(**options))[0].texts()[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Cafe\u0301", "Café"),
        ("bell\x07 and nul\x00 gone", "bell and nul gone"),
        ("kept\ttab", "kept tab"),
        ("one\r\ntwo\rthree\x0cfour\u2028five", "one\ntwo\nthree\nfour\nfive"),
        ("\ufeffmark\u00adup\u200b", "markup"),
        ("中文\u3000\u3000文本\u3000", "中文 文本"),
        ("a\u00a0 b\u2003c", "a b c"),
        ("  lines \n\n \t next  ", "lines\nnext"),
        # What joiners and selectors hold together stays together.
        ("👩\u200d👩\u200d👧 ❤\ufe0f", "👩\u200d👩\u200d👧 ❤\ufe0f"),
        ("क्\u200dष", "क्\u200dष"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        # Thai marks words by zero-width spaces.
        ("ภาษา\u200bไทย", "ภาษา\u200bไทย"),
        ("\u200fעברית\u200f", "\u200fעברית\u200f"),
    ],
)
def test_characters(before, after):
    assert cleaned(before) == after


def test_each_step_can_be_turned_off():
    text = "e\u0301\x07  x"
    assert cleaned(text, unicode=None, control=False, whitespace=False) == text
    assert cleaned(text, control=False, whitespace=False) == "é\x07  x"
    assert cleaned(text, unicode=None, whitespace=False) == "e\u0301  x"
    assert cleaned(text, unicode=None, control=False) == "e\u0301\x07 x"
    assert cleaned("ﬁne Ａ", unicode="NFKC") == "fine A"
    assert cleaned("ﬁne Ａ") == "ﬁne Ａ"


@given(st.text(max_size=60))
def test_cleaning_is_settled_after_once(text):
    once = cleaned(text + "x")
    assert cleaned(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not [letter for letter in once if ord(letter) < 32 and letter != "\n"]
    assert once == once.strip()


def test_rows_left_out_are_counted_and_shown():
    texts = ["good", " \u3000", "bad", "good ", "odd", "odd", "odd", "Ｇood", "good"]
    labels = ["+", "+", "-", "+", "+", "-", "+", "+", "+"]
    table = table_of(texts, labels, rank=list(range(9)))
    result, report = clean(table)
    assert result.values("rank") == [0, 2, 7]
    assert result.texts() == ["good", "bad", "Ｇood"]
    assert dict(report.counts) == {
        "rows_before": 9,
        "unicode": 0,
        "control": 0,
        "whitespace": 2,
        "empty": 1,
        "conflicts": 3,
        "duplicates": 2,
        "rows_after": 3,
    }
    assert report.examples["duplicates"][0] == 'row 4: "good" as in row 1'
    assert report.examples["whitespace"][1] == 'row 4: "good " → "good"'
    assert report.examples["conflicts"] == (
        "row 5: \"odd\" is labelled '+'",
        "row 6: \"odd\" is labelled '-'",
        "row 7: \"odd\" is labelled '+'",
    )
    assert "unicode" not in report.examples
    # The given table is as it was.
    assert table.texts() == texts


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "a ", ""]), st.sampled_from(["x", "y"])),
        min_size=1,
        max_size=30,
    )
)
def test_the_counts_add_up(rows):
    rows = [*rows, ("certain", "x")]
    table = table_of(*zip(*rows, strict=True))
    result, report = clean(table)
    counts = report.counts
    left_out = counts["empty"] + counts["conflicts"] + counts["duplicates"]
    assert counts["rows_before"] - left_out == counts["rows_after"] == len(result)
    assert len(set(result.texts())) == len(result)
    assert "" not in result.texts()


def test_conflicts_can_be_kept_or_refused():
    table = table_of(["same", "same", "other", "same"], ["+", "-", "+", "+"])
    kept, report = clean(table, Cleaning(conflicts="keep"))
    assert kept.labels() == ["+", "-", "+"]
    assert report.counts["conflicts_kept"] == 3
    with pytest.raises(DataError, match="rows 1 and 2: \"same\" is labelled '\\+' and '-'"):
        clean(table, Cleaning(conflicts="error"))


def test_an_error_names_twenty_conflicts_and_counts_the_others():
    texts = [f"text {row // 2}" for row in range(60)]
    with pytest.raises(DataError) as caught:
        clean(table_of(texts, ["+", "-"] * 30), Cleaning(conflicts="error"))
    assert len(caught.value.problems) == 21
    assert "10 more" in caught.value.problems[-1].what


def test_measurements_do_not_conflict_and_lists_have_no_order():
    result, report = clean(table_of(["same", "same", "same"], [1.5, 2.5, 1.5]))
    assert result.labels() == [1.5, 2.5]
    assert "conflicts" not in report.counts
    result, report = clean(table_of(["same", "same"], [["a", "b"], ["b", "a"]]))
    assert len(result) == 1
    assert report.counts["conflicts"] == 0


NEGATED = "the screen is bright and the battery lasts all day and I am{} happy with the whole thing"


def test_near_duplicates_of_one_label_are_left_out():
    base = "the quick brown fox jumps over the lazy dog near the old river bank"
    texts = [base, base + " today", "something else entirely", base.upper() + "!"]
    result, report = clean(table_of(texts, ["+"] * 4), Cleaning(near_duplicates=0.8))
    assert result.texts() == [base, "something else entirely"]
    assert report.counts["near_duplicates"] == 2
    assert report.examples["near_duplicates"][0].startswith('row 2: "the quick')
    assert "92% like row 1" in report.examples["near_duplicates"][0]


def test_near_texts_of_different_labels_are_kept_and_counted():
    texts = [NEGATED.format(""), NEGATED.format(" not")]
    result, report = clean(table_of(texts, ["+", "-"]), Cleaning(near_duplicates=0.5))
    assert len(result) == 2
    assert report.counts["near_duplicates"] == 0
    assert report.counts["near_conflicts"] == 1


def test_chinese_near_duplicates_are_found_by_characters():
    base = "这个产品的质量非常好我很喜欢下次还会再来购买推荐给大家"
    result, _ = clean(table_of([base, base + "!", base + "哦"]), Cleaning(near_duplicates=0.9))
    assert result.texts() == [base]


def test_every_text_column_is_cleaned():
    roles = {"text": ["first", "second"], "label": None}
    table = Table.from_dict({"first": ["a ", "a", "b"], "second": ["x", " x", "x"]}, roles=roles)
    result, report = clean(table)
    assert result.values("first") == ["a", "b"]
    assert result.values("second") == ["x", "x"]
    assert report.counts["whitespace"] == 2


def test_a_table_without_text_is_left_alone():
    roles = {"user": "user", "item": "item"}
    table = Table.from_dict({"user": ["a", "a"], "item": ["b", "b"]}, roles=roles)
    result, report = clean(table)
    assert len(result) == 2
    assert dict(report.counts) == {"rows_before": 2, "rows_after": 2}


def test_nothing_left_is_an_error():
    with pytest.raises(DataError, match=r"no row is left after cleaning .*empty 2"):
        clean(table_of(["", " "]))


@pytest.mark.parametrize("threshold", [0, 1.5, float("nan")])
def test_the_threshold_is_checked(threshold):
    with pytest.raises(ValueError, match="near_duplicates"):
        Cleaning(near_duplicates=threshold)


def test_the_report_survives_json():
    _, report = clean(table_of(["a ", "a", "\x07b"]))
    again = CleaningReport.from_json(json.loads(json.dumps(report.to_json())))
    assert again == report


def test_examples_are_short_and_show_hidden_characters():
    _, report = clean(table_of(["x" * 5000 + "\x07" + "y" * 5000, "b"]))
    (example,) = report.examples["control"]
    assert "\\u0007" in example
    assert len(example) < 180


def test_twenty_thousand_sentences_are_searched_in_seconds():
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(3000)])
    rows = words[rng.integers(0, len(words), (20_000, 15))]
    # Each row of the second half differs from one of the first in its last word alone.
    rows[10_000:, :14] = rows[:10_000, :14]
    table = table_of(" ".join(row) for row in rows.tolist())
    started = time.process_time()
    result, report = clean(table, Cleaning(near_duplicates=0.8))
    assert time.process_time() - started < 15
    assert report.counts["near_duplicates"] >= 9_900
    assert len(set(result.texts())) == len(result) < 10_100
