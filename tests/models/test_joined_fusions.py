"""What every fusion of columns promises, whatever it does inside."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfuse.models import COLUMN_FUSIONS, Encoded, FusedColumns, LinearHead
from transfuse.models.columns import Column, ColumnFusion

COLUMNS = (
    Column("text", 6, 6),
    Column("image", 4, 5),
    Column("fields", 5, 5, categories=(4,), width=8),
)
ROWS = 7
LENGTHS = {"text": 5, "image": 4, "fields": 1}
# Two towers are compared, not fused; they have tests of their own.
KINDS = sorted(set(COLUMN_FUSIONS) - {"towers"})


def _options(kind: str, **options: Any) -> ColumnFusion:
    return COLUMN_FUSIONS[kind](width=8, **options)


def _built(kind: str, columns: tuple[Column, ...] = COLUMNS, **options: Any) -> FusedColumns:
    return _options(kind, **options).build(columns, seed=3)


def _values(seed: int, columns: tuple[Column, ...] = COLUMNS) -> dict[str, Encoded]:
    """Vectors of each column; structured ones end in the place of a category."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for column in columns:
        tokens = torch.randn(ROWS, LENGTHS[column.name], column.tokens, generator=generator)
        pooled = torch.randn(ROWS, column.dim, generator=generator)
        if column.categories is not None:
            pooled[:, -1] = torch.randint(0, 4, (ROWS,), generator=generator)
            tokens = pooled[:, None]
        mask = torch.ones(tokens.shape[:2], dtype=torch.int64)
        mask[: ROWS // 2, 3:] = 0
        found[column.name] = Encoded(pooled, tokens, mask)
    return found


def _encoded(parts: dict[str, Encoded], present: torch.Tensor) -> dict[str, Encoded]:
    """As a `JoinedEncoder` gives it: nothing but 0 where a row lacks a column."""
    held = {}
    for has, (name, part) in zip(present.T, parts.items(), strict=True):
        assert part.tokens is not None
        assert part.mask is not None
        tokens = part.tokens * has[:, None, None]
        held[name] = Encoded(part.pooled * has[:, None], tokens, part.mask * has[:, None].long())
    pooled = torch.cat([*(part.pooled for part in held.values()), present], dim=1)
    return {"columns": Encoded(pooled, parts=held)}


def _fused(fusion: FusedColumns, parts: dict[str, Encoded], present: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = fusion(_encoded(parts, present)).pooled
    return found


EVERYTHING = torch.ones(ROWS, len(COLUMNS))


@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_a_vector_of_the_width_for_each_row(kind: str) -> None:
    fusion = _built(kind).eval()
    found = _fused(fusion, _values(0), EVERYTHING)
    assert found.shape == (ROWS, 8)
    assert fusion.dim == 8
    assert found.std(0).min() > 1e-4, "rows are told apart"


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000))
def test_what_a_row_lacks_does_not_reach_its_answer(kind: str, seed: int) -> None:
    fusion = _built(kind).eval()
    generator = torch.Generator().manual_seed(seed)
    present = (torch.rand(ROWS, len(COLUMNS), generator=generator) < 0.5).float()
    one, other = _values(seed), _values(seed + 1)
    mixed = {}
    for has, column in zip(present.T, COLUMNS, strict=True):
        mine, theirs = one[column.name], other[column.name]
        assert mine.tokens is not None
        assert theirs.tokens is not None
        mixed[column.name] = Encoded(
            torch.where(has[:, None] > 0, mine.pooled, theirs.pooled),
            torch.where(has[:, None, None] > 0, mine.tokens, theirs.tokens),
            mine.mask,
        )
    with torch.no_grad():
        torch.testing.assert_close(
            _fused(fusion, one, present), _fused(fusion, mixed, present), atol=0, rtol=0
        )


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_that_is_there_reaches_the_answer(kind: str) -> None:
    fusion = _built(kind).eval()
    parts, other = _values(1), _values(2)
    with torch.no_grad():
        before = _fused(fusion, parts, EVERYTHING)
        for column in COLUMNS:
            changed = {**parts, column.name: other[column.name]}
            assert not torch.allclose(before, _fused(fusion, changed, EVERYTHING), atol=1e-4)
            lacking = EVERYTHING.clone()
            lacking[:, [each.name for each in COLUMNS].index(column.name)] = 0
            assert not torch.allclose(before, _fused(fusion, parts, lacking), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_see_each_other(kind: str) -> None:
    fusion = _built(kind).eval()
    whole = _encoded(_values(1), EVERYTHING)["columns"]
    assert whole.parts is not None
    alone = Encoded(
        whole.pooled[2:3],
        parts={
            name: Encoded(each.pooled[2:3], each.tokens[2:3], each.mask[2:3])  # type: ignore[index]
            for name, each in whole.parts.items()
        },
    )
    with torch.no_grad():
        torch.testing.assert_close(
            fusion({"columns": alone}).pooled, fusion({"columns": whole}).pooled[2:3]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_reach_the_answer(kind: str) -> None:
    fusion = _built(kind).eval()
    parts = _values(1)
    text = parts["text"]
    assert text.tokens is not None
    assert text.mask is not None
    noise = torch.where(text.mask[..., None] > 0, text.tokens, 7.0)
    changed = {**parts, "text": Encoded(text.pooled, noise, text.mask)}
    with torch.no_grad():
        one, other = _fused(fusion, parts, EVERYTHING), _fused(fusion, changed, EVERYTHING)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_column_and_every_weight(kind: str) -> None:
    fusion = _built(kind, dropout_of_columns=0.0).train()
    parts = _values(1)
    for column in COLUMNS:
        if column.categories is None:
            parts[column.name].pooled.requires_grad_()
            tokens = parts[column.name].tokens
            assert tokens is not None
            tokens.requires_grad_()
    present = EVERYTHING.clone()
    for row, place in enumerate((0, 1, 2)):
        present[row, place] = 0
    head = LinearHead(8, 2, seed=1)
    head(Encoded(_fused(fusion, parts, present)), {}).square().sum().backward()
    for name, weight in fusion.named_parameters():
        assert weight.grad is not None, name
        # A key's bias shifts all logits of a query alike, which a softmax does not see.
        if "key_value.bias" not in name:
            assert weight.grad.abs().sum() > 0, name
    for place, column in enumerate(COLUMNS):
        part = parts[column.name]
        moved = part.tokens if fusion.options.reads_tokens else part.pooled
        if column.categories is not None or moved is None:
            continue
        assert moved.grad is not None
        reached = moved.grad.flatten(1).abs().sum(1) > 0
        assert reached.tolist() == (present[:, place] > 0).tolist()


@pytest.mark.parametrize("kind", ["add", "gated", "bilinear"])
def test_the_order_of_columns_does_not_matter(kind: str) -> None:
    fusion = _built(kind).eval()
    turned = (COLUMNS[2], COLUMNS[0], COLUMNS[1])
    other = _built(kind, turned).eval()
    other.load_state_dict(fusion.state_dict())
    parts = _values(4)
    present = EVERYTHING.clone()
    present[0, 1] = 0
    with torch.no_grad():
        expected = _fused(fusion, parts, present)
        found = _fused(other, {c.name: parts[c.name] for c in turned}, present[:, [2, 0, 1]])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_left_out_in_training_alone(kind: str) -> None:
    parts = _values(1)
    fusion = _built(kind, dropout_of_columns=0.5)
    with torch.no_grad():
        plain = _fused(fusion.eval(), parts, EVERYTHING)
        torch.testing.assert_close(_fused(fusion, parts, EVERYTHING), plain, atol=0, rtol=0)
        fusion.train()
        torch.manual_seed(0)
        draws = torch.stack([_fused(fusion, parts, EVERYTHING) for _ in range(40)])
    changed = (draws - plain).abs().amax(-1) > 1e-6
    assert 0.7 < changed.float().mean() < 1  # all three are kept in 1 of 8


def test_a_row_never_loses_all_that_it_has() -> None:
    fusion = _built("add", dropout_of_columns=0.9).train()
    present = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 0]])
    pooled = torch.cat([torch.zeros(3, 15), present], 1)
    torch.manual_seed(0)
    for _ in range(50):
        kept = fusion._present(pooled)
        assert kept[:2].any(1).all()
        assert not (kept & ~(present > 0)).any()
        assert kept[0].tolist() == [True, False, False]


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_the_weights(kind: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        built = _options(kind).build(COLUMNS, seed)
        return torch.cat([weight.flatten() for weight in built.parameters()])

    torch.manual_seed(99)
    one = weights(1)
    torch.rand(3)
    assert torch.equal(one, weights(1))
    assert not torch.equal(one, weights(2))


@pytest.mark.parametrize("kind", KINDS)
def test_one_column_alone_is_enough(kind: str) -> None:
    fusion = _built(kind, COLUMNS[2:]).eval()
    found = _fused(fusion, {"fields": _values(0)["fields"]}, torch.ones(ROWS, 1))
    assert found.shape == (ROWS, 8)
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_places_of_categories_are_exact_in_16_bits(kind: str) -> None:
    many = (Column("fields", 3, 3, categories=(3000,)),)
    fusion = _built(kind, many).eval().bfloat16()
    one, other = (torch.tensor([[0.0, 0.0, place, 1.0]]) for place in (2001.0, 2002.0))

    def answer(pooled: torch.Tensor) -> torch.Tensor:
        part = Encoded(pooled[:, :3], pooled[:, None, :3], torch.ones(1, 1, dtype=torch.int64))
        found: torch.Tensor = fusion({"columns": Encoded(pooled, parts={"fields": part})}).pooled
        return found

    with torch.no_grad():
        assert not torch.equal(answer(one), answer(other))


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("add", {"width": 0}, "width"),
        ("add", {"dropout_of_columns": 1.0}, "dropout_of_columns"),
        ("bilinear", {"rank": 0}, "rank"),
        ("attention", {"heads": 3}, "divisor"),
        ("attention", {"layers": 0}, "layers"),
        ("trunk", {"heads": 0}, "divisor"),
        ("trunk", {"layers": 0}, "layers"),
    ],
)
def test_options_are_checked(kind: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        COLUMN_FUSIONS[kind](**options)
    with pytest.raises(ValueError, match="at least one column"):
        COLUMN_FUSIONS[kind]().build([], 0)
