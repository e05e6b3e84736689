"""Pictures classified by what their labels are called: CLIP and SigLIP, towers, kept folders."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from joined_models import SIZE, VIT, picture
from pair_models import COLOURS, pair_job, pair_network
from tiny_models import tiny_tokenizer
from transfuse.answering.text_labels import TextLabels
from transfuse.data import Role
from transfuse.data.images import Pictures
from transfuse.errors import ModelError
from transfuse.models import save_network
from transfuse.models.images.processing import PROCESSOR_FILE
from transfuse.models.pairs import PairCheckpoint, open_pairs
from transfuse.training import fit

Tiny = Callable[..., Path]

_TEXT = {
    "vocab_size": 300,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 12,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 0,
}


def checkpoint(kind: str, folder: Path) -> Path:
    """A tiny CLIP or SigLIP with random weights."""
    parts: dict[str, Any] = {"text_config": dict(_TEXT), "vision_config": dict(VIT)}
    if kind == "clip":
        config: Any = transformers.CLIPConfig(**parts, projection_dim=8)
        model: Any = transformers.CLIPModel(config)
    else:
        config = transformers.SiglipConfig(**parts)
        model = transformers.SiglipModel(config)
    model.save_pretrained(folder)
    tiny_tokenizer("bert").save_pretrained(folder)
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": SIZE},
        "crop_size": {"height": SIZE, "width": SIZE},
        "do_center_crop": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
        "resample": 3,
    }
    (folder / PROCESSOR_FILE).write_text(json.dumps(settings))
    return folder


def coloured() -> Pictures:
    return Pictures.of([picture(*colour) for colour in COLOURS.values()])


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_checkpoints_give_the_vectors_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = checkpoint(kind, tmp_path)
    model = open_pairs(folder)
    assert isinstance(model, PairCheckpoint)
    plain = model.model
    mean, std = (np.array(each, np.float32)[:, None, None] for each in
                 ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))  # fmt: skip
    pixels = np.stack(
        [
            (np.full((3, SIZE, SIZE), 1.0, np.float32) * np.array(c)[:, None, None] / 255 - mean)
            / std
            for c in COLOURS.values()
        ]
    ).astype(np.float32)
    with torch.inference_mode():
        wanted = plain.get_image_features(pixel_values=torch.from_numpy(pixels)).pooler_output
    wanted = torch.nn.functional.normalize(wanted, dim=-1).numpy()
    assert np.allclose(model.pictures(coloured()), wanted, atol=1e-4)
    texts = list(COLOURS)
    alone = np.concatenate([model.texts([text]) for text in texts])
    assert np.allclose(model.texts(texts), alone, atol=1e-5)
    assert np.allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_classifier_is_kept_and_opened(kind: str, tmp_path: Path) -> None:
    model = open_pairs(checkpoint(kind, tmp_path / "source"))
    labels = TextLabels.of(model, [("a good film", "fine"), ("bad",), ("the book",)], None)
    labels = labels.calibrated(coloured())
    assert labels.reads == (Role.IMAGE,)
    scores = labels.scores(coloured())
    assert np.allclose(scores.sum(1), 1)
    assert np.allclose(labels.logits(coloured()).mean(0), 0, atol=1e-5)
    (tmp_path / "kept").mkdir()
    labels.save(tmp_path / "kept")
    again = TextLabels.load(tmp_path / "kept", lambda _: pytest.fail("no member"))
    assert np.allclose(again.scores(coloured()), scores, atol=1e-5)


def test_towers_classify_by_names_without_a_label(tiny: Tiny, tmp_path: Path) -> None:
    network = pair_network(tiny)
    fit(pair_job(network, tmp_path / "store", "clip"))
    save_network(network, tmp_path / "model")
    labels = TextLabels.of(open_pairs(tmp_path / "model"), [(text,) for text in COLOURS], None)
    answers = labels.scores(coloured()).argmax(1)
    assert (answers == np.arange(len(COLOURS))).mean() >= 0.8


def test_a_model_that_compares_nothing_is_refused(tiny: Tiny) -> None:
    with pytest.raises(ModelError, match="compares no pictures with texts"):
        open_pairs(tiny("bert"))
