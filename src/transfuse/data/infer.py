"""Working out what columns are for, from their names and, failing that, from their contents."""

import re
from collections.abc import Mapping, Sequence

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.places import holds_boxes, holds_pictures, holds_sounds
from transfuse.data.schema import GivenRoles, Role, Schema, given_roles, how_to_name
from transfuse.errors import DataError, Problem

__all__ = ["infer_schema"]

_LOOKED_AT = 10_000
"""Rows that inference by content reads, from the start of the table."""

_MOST_CLASSES = 100
"""A column with more distinct values than this is not taken for a label by its content alone."""


# Per role, names from the surest to the least sure; two names of one rank are a tie.
_NAMES: dict[Role, tuple[tuple[str, ...], ...]] = {
    Role.TEXT: (
        ("text", "文本"),
        (
            *("sentence", "review", "review_text", "review_body", "reviewtext", "comment"),
            *("comment_text", "content", "body", "message", "tweet", "utterance", "post"),
            *("内容", "评论", "评论内容", "评价", "评价内容", "正文", "句子", "文章"),
        ),
        ("document", "description", "title", "headline", "标题", "描述"),
    ),
    Role.LABEL: (
        ("label", "labels", "标签"),
        ("class", "category", "sentiment", "polarity", "类别", "分类", "情感", "情感倾向"),
        ("stars", "rating", "score", "target", "y", "星级", "评分", "打分"),
    ),
    Role.GROUP: (
        ("group", "group_id", "分组", "组"),
        ("document", "document_id", "doc", "doc_id", "article_id", "文档", "文档id"),
        ("user", "user_id", "author", "author_id", "speaker", "用户", "用户id", "作者"),
    ),
    Role.ID: (("id", "编号"), ("row_id", "uid", "idx")),
    Role.DOMAIN: (("domain", "领域"),),
    Role.USER: (("user", "user_id", "用户", "用户id"),),
    Role.ITEM: (("item", "item_id", "product_id", "movie_id", "商品", "商品id", "物品"),),
    Role.RATING: (("rating", "stars", "评分", "星级"),),
    Role.TOKENS: (("tokens", "words"),),
    Role.TAGS: (("tags", "ner_tags", "pos_tags"),),
    Role.IMAGE: (
        ("image", "images", "img", "picture", "photo", "图片", "图像", "照片"),
        ("image_path", "img_path", "image_file", "file_name", "filename", "file_path", "filepath"),
        ("path", "file", "文件", "路径"),
    ),
    Role.AUDIO: (
        ("audio", "sound", "clip", "recording", "音频", "声音", "录音"),
        ("audio_path", "wav", "wav_path", "sound_path", "file_name", "filename", "file_path"),
    ),
    Role.BOXES: (("boxes", "objects", "bboxes", "annotations", "框"),),
    Role.MASK: (("mask", "masks", "segmentation", "掩码"),),
    Role.SOURCE: (("source", "原文"),),
    Role.TARGET: (("target", "译文"),),
}


def infer_schema(
    dataset: datasets.Dataset, given: GivenRoles | None = None, where: str = "columns"
) -> tuple[Schema, list[str]]:
    """Finds what each column is for.

    Roles that are given stand. The others are inferred from column names, in English or Chinese;
    where no name tells, the text is the column of longest free text and the label a column of few
    distinct values, judged by the first 10,000 rows. Pictures and sounds are told by their bytes,
    or by paths that end as names of such files do.

    Args:
        dataset: The table.
        given: Role name to column name or names, such as `{"text": "body"}`; None as a column
            says that the table has no such column. Default: everything is inferred.
        where: How a problem names the table. Default: "columns".

    Returns:
        The schema, and one sentence for each role that was inferred.

    Raises:
        DataError: If a given role or column does not exist, if no column can be the text (or the
            tokens, the image, the user and item), or if several could have a role.
    """
    roles = given_roles(dataset.column_names, given, where)
    settled = {Role(name) for name in given or {}}
    head = dataset.with_format("arrow")[:_LOOKED_AT] if len(dataset) else pa.table({})
    guess = _Guess(dataset, head, roles, settled, where)
    guess.by_names()
    guess.by_contents()
    ordered = {name: guess.roles[name] for name in dataset.column_names if name in guess.roles}
    # Given columns keep the order in which they were given: a pair of texts has a first and second.
    return Schema({**{name: roles[name] for name in roles}, **ordered}), guess.notes


class _Guess:
    """Inference in progress: the roles that are known so far, and why."""

    def __init__(
        self,
        dataset: datasets.Dataset,
        head: pa.Table,
        roles: Mapping[str, Role],
        settled: set[Role],
        where: str,
    ) -> None:
        self.head = head
        self.roles = dict(roles)
        self.settled = settled
        self.where = where
        self.notes: list[str] = []
        self.images = [
            name for name, kind in dataset.features.items() if isinstance(kind, datasets.Image)
        ] or [name for name in head.column_names if holds_pictures(name, head[name])]
        self.sounds = [
            name for name, kind in dataset.features.items() if isinstance(kind, datasets.Audio)
        ] or [name for name in head.column_names if holds_sounds(head[name])]

    def by_names(self) -> None:
        self._files(Role.IMAGE, self.images, "it holds pictures")
        self._files(Role.AUDIO, self.sounds, "it holds sounds")
        if Role.IMAGE in self.roles.values():
            for role in (Role.BOXES, Role.MASK):
                self._take_named(role)
        if self._named(Role.USER) and self._named(Role.ITEM):
            for role in (Role.USER, Role.ITEM, Role.RATING):
                self._take_named(role)
        if self._named(Role.TOKENS) and pa.types.is_list(self._type(self._named(Role.TOKENS)[0])):
            for role in (Role.TOKENS, Role.TAGS):
                self._take_named(role)
        if self._named(Role.SOURCE) and self._named(Role.TARGET) and not self._named(Role.TEXT):
            for role in (Role.SOURCE, Role.TARGET):
                self._take_named(role)
        for role in (Role.TEXT, Role.LABEL, Role.GROUP, Role.DOMAIN, Role.ID):
            self._take_named(role)

    def by_contents(self) -> None:
        known = set(self.roles.values())
        read = {Role.TOKENS, Role.IMAGE, Role.AUDIO, Role.SOURCE, Role.USER}
        # A table whose structured columns were named may well have no text at all.
        enough = Role.FIELDS in known and not any(map(self._is_free_text, self._free()))
        if self._open(Role.TEXT) and not known & read and not enough:
            self._longest_text()
        others = {Role.TAGS, Role.TARGET, Role.RATING, Role.BOXES, Role.MASK}
        if self._open(Role.LABEL) and not known & others:
            self._few_values()

    def _files(self, role: Role, names: Sequence[str], reason: str) -> None:
        free = [name for name in names if name not in self.roles]
        if not free or not self._open(role):
            return
        ranked = [[name for name in free if _plain(name) in rank] for rank in _NAMES[role]]
        best = next(filter(None, ranked), free)
        if len(best) > 1:
            raise self._ambiguous(role, best)
        self._settle(role, best[0], reason)

    def _open(self, role: Role) -> bool:
        return role not in self.settled and role not in self.roles.values()

    def _type(self, name: str) -> pa.DataType:
        return self.head.schema.field(name).type

    def _free(self) -> list[str]:
        return [name for name in self.head.column_names if name not in self.roles]

    def _settle(self, role: Role, name: str, reason: str) -> None:
        self.roles[name] = role
        self.notes.append(f"{self.where}: {role} is column {name!r}, since {reason}.")

    def _named(self, role: Role) -> list[str]:
        """The free columns of the surest rank whose name speaks for the role."""
        if not self._open(role):
            return []
        for rank in _NAMES[role]:
            found = [name for name in self._free() if _plain(name) in rank]
            found = [name for name in found if self._fits(role, name)]
            if found:
                return found
        return []

    def _fits(self, role: Role, name: str) -> bool:
        if role == Role.TEXT:
            # A column "document" of ids is a group, and a column "review" of numbers no text.
            if _plain(name) in _NAMES[Role.GROUP][1]:
                return self._is_free_text(name)
            return _is_string(self._type(name)) or _plain(name) in _NAMES[Role.TEXT][0]
        if role == Role.GROUP:
            values = self.head[name]
            repeats = values.null_count < len(values) and _distinct(values) < len(values)
            return repeats and not self._is_free_text(name)
        if role == Role.BOXES:
            return holds_boxes(self._type(name))
        return True

    def _take_named(self, role: Role) -> None:
        names = self._named(role)
        if len(names) > 1:
            raise self._ambiguous(role, names)
        if names:
            self._settle(role, names[0], "its name says so")

    def _is_free_text(self, name: str) -> bool:
        values = self.head[name]
        if not _is_string(values.type) or _distinct(values) < 0.5 * len(values):
            return False
        # Several words, or characters of a script that writes without spaces.
        wordy = pc.match_substring_regex(values, r"\S\s+\S|[\x{3040}-\x{9fff}\x{ac00}-\x{d7a3}]{3}")
        return bool((pc.sum(wordy).as_py() or 0) >= 0.5 * len(values))

    def _longest_text(self) -> None:
        strings = [name for name in self._free() if _is_string(self._type(name))]
        free_text = [name for name in strings if self._is_free_text(name)] or strings
        lengths = {
            name: pc.mean(pc.utf8_length(self.head[name])).as_py() or 0.0 for name in free_text
        }
        ranked = sorted(lengths, key=lambda name: -lengths[name])
        if not ranked:
            columns = ", ".join(map(repr, self.head.column_names))
            what = f"no column holds text; the columns are {columns}"
            raise DataError(Problem(self.where, what, fix=how_to_name(Role.TEXT)))
        rivals = [name for name in ranked if lengths[name] >= 0.5 * lengths[ranked[0]]]
        if len(rivals) > 1:
            raise self._ambiguous(Role.TEXT, rivals)
        self._settle(Role.TEXT, ranked[0], "it holds the longest text")

    def _few_values(self) -> None:
        most = min(_MOST_CLASSES, self.head.num_rows // 2)
        found = []
        for name in self._free():
            values = self.head[name]
            # A column "split" says train or test, never the class.
            if _plain(name) == "split" or not _is_discrete(values.type):
                continue
            if 2 <= _distinct(values) <= most and not self._is_free_text(name):
                found.append(name)
        if len(found) > 1:
            raise self._ambiguous(Role.LABEL, found)
        if found:
            count = _distinct(self.head[found[0]])
            self._settle(Role.LABEL, found[0], f"it holds only {count} different values")

    def _ambiguous(self, role: Role, names: Sequence[str]) -> DataError:
        listed = ", ".join(map(repr, names))
        return DataError(
            Problem(
                self.where,
                f"{len(names)} columns could be the {role}: {listed}",
                "one",
                how_to_name(role, names[0]),
            )
        )


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip()).casefold()


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_discrete(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind) or _is_string(kind))


def _distinct(values: pa.ChunkedArray) -> int:
    if pa.types.is_nested(values.type):
        return len(values)
    return int(pc.count_distinct(values, mode="only_valid").as_py())
