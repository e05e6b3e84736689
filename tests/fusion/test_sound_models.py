"""Weights of networks of sounds: merged and pruned as those of pictures and texts are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from merge_models import quiet
from picture_models import kept
from sounds import small_sound_model, wav_bytes, wave
from transfuse.answering import Evidence, ModelFolder
from transfuse.compression import COMPRESSIONS
from transfuse.data import Table
from transfuse.fusion.merges import MERGES
from transfuse.models import Network
from transfuse.models.audio import Spectrogram, audio_classifier
from transfuse.recipe import build
from transfuse.tasks import Classification

LABELS = ("tone", "noise")
ROWS = 8


def sounds(seed: int) -> Table:
    rng = np.random.default_rng(seed)
    names = [LABELS[row % 2] for row in range(ROWS)]
    files = [wav_bytes(wave(name, rng)) for name in names]
    return Table.from_dict({"audio": files, "label": names}, roles={"audio": "audio"})


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence(sounds(1), sounds(2))


@pytest.fixture(scope="module", params=["ast", "wav2vec2"])
def models(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[ModelFolder]:
    """Two models of one ancestor; one of them knows a label more, in another order."""
    home = tmp_path_factory.mktemp(request.param)
    source, task = home / "source", Classification(labels=LABELS)
    model, _, extractor = small_sound_model(request.param)
    model.save_pretrained(source)
    extractor.save_pretrained(source)
    heard = None if request.param == "ast" else Spectrogram(seconds=0.5)
    found = []
    for seed, labels in enumerate((LABELS, ("chirp", *LABELS[::-1]))):
        network = audio_classifier(source, labels, task="target", spectrogram=heard, seed=seed)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=draw))
        choice = {"name": str(source)} | ({} if heard is None else {"sound": {"seconds": 0.5}})
        task = Classification(labels=labels)
        found.append(kept(home / f"m{seed}", network, task, choice, column="audio"))
    return found


@pytest.mark.parametrize("name", ["linear", "regmean"])
def test_merged(name: str, models: list[ModelFolder], evidence: Evidence, tmp_path: Path) -> None:
    made = build(MERGES, name, "merge").make(models, evidence, 0, quiet)
    assert made.task.label_names == (*LABELS, "chirp")
    again = kept(tmp_path / "out", made.model, made.task, {}, column="audio")
    scores = again.scores(evidence.validation.inputs(again.reads))
    assert scores.shape == (ROWS, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)
    one, two, both = (
        dict(each.encoder.backbone.named_parameters())
        for each in (models[0].model, models[1].model, made.model)
    )
    bias = next(key for key in both if key.endswith("bias"))
    torch.testing.assert_close(both[bias], (one[bias] + two[bias]) / 2)


@pytest.mark.parametrize(
    ("name", "options"), [("prune_layers", {"layers": 1}), ("prune_width", {"keep": 0.5})]
)
def test_pruned(
    name: str,
    options: dict[str, float],
    models: list[ModelFolder],
    evidence: Evidence,
    tmp_path: Path,
) -> None:
    stage = build(COMPRESSIONS, {name: options | {"recover": {"epochs": 0}}}, "then")
    made = stage.make([models[0]], evidence, 0, quiet)
    assert isinstance(made.model, Network)
    config = made.model.encoder.config
    if name == "prune_layers":
        assert (config.num_hidden_layers, made.told["layers"]) == (1, [2, 1])
    else:
        assert config.intermediate_size == made.told["width"][1] < 24
    again = kept(tmp_path / "out", made.model, made.task, {}, column="audio")
    batch = made.model.encoder.probe_batch()
    with torch.no_grad():
        (ours,), (theirs,) = (each(batch).logits.values() for each in (made.model, again.model))
    torch.testing.assert_close(ours, theirs)
