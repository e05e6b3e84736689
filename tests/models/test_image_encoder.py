"""Image encoders of many architectures, by what any of them must do."""

import numpy as np
import pytest
import torch
from PIL import Image

from tiny_pictures import CONFIGS, photo, photos, tiny_encoder
from transfuse.data.rows import Preprocessed
from transfuse.errors import DataError, ModelError
from transfuse.models.encoder import close
from transfuse.models.images import ImageEncoder

KINDS = tuple(CONFIGS)
BATCH_NORM = ("resnet", "mobilenet-v2", "efficientnet", "regnet")


@pytest.fixture(scope="module", params=KINDS)
def encoder(request: pytest.FixtureRequest) -> ImageEncoder:
    return tiny_encoder(request.param)


@pytest.fixture
def batch(encoder: ImageEncoder) -> dict[str, torch.Tensor]:
    return encoder.collate(encoder.preprocess(photos(3)))


def test_every_parameter_is_in_exactly_one_layer(encoder):
    found = [id(each) for layer in encoder.layers() for part in layer for each in part.parameters()]
    assert len(found) == len(set(found)) == len(list(encoder.parameters()))
    assert len(encoder.layers()) == encoder.depth > 3


def test_layers_run_from_input_to_output(encoder, batch):
    order: list[int] = []
    handles = [
        part.register_forward_pre_hook(lambda *_, number=number: order.append(number))
        for number, layer in enumerate(encoder.layers())
        for part in layer
    ]
    encoder(batch)
    for handle in handles:
        handle.remove()
    assert order == sorted(order)
    assert set(order) >= set(range(encoder.depth - 1))


def test_one_vector_for_each_picture_and_one_for_each_place(encoder, batch):
    with torch.no_grad():
        encoded = encoder(batch)
    assert encoded.pooled.shape == (3, encoder.dim)
    assert encoded.tokens.shape[0] == 3
    assert encoded.mask.shape == encoded.tokens.shape[:2]
    assert not close(encoded.pooled[0], encoded.pooled[1])


def test_a_prefix_can_be_taken_up_again(encoder, batch):
    tried = [layers for layers in range(1, encoder.depth) if encoder.can_resume(layers)]
    assert tried
    with torch.no_grad():
        plain = encoder(batch)
        for layers in tried:
            hidden = encoder.prefix(batch, layers)
            again = encoder({"hidden": hidden[:2]}, from_layer=layers)
            assert close(plain.pooled[:2], again.pooled)
            assert close(plain.tokens[:2], again.tokens)


def test_resuming_runs_no_layer_that_is_done(encoder, batch):
    layers = max(each for each in range(encoder.depth) if encoder.can_resume(each))
    hidden = encoder.prefix(batch, layers)
    ran: list[int] = []

    def note(module: torch.nn.Module, number: int) -> None:
        if "forward" not in vars(module):  # it has one of its own while it is skipped
            ran.append(number)

    handles = [
        leaf.register_forward_pre_hook(lambda module, _, number=number: note(module, number))
        for number, layer in enumerate(encoder.layers())
        for part in layer
        for leaf in part.modules()
        if not list(leaf.children())
    ]
    encoder({"hidden": hidden}, from_layer=layers)
    for handle in handles:
        handle.remove()
    assert min(ran) >= layers


def test_gradients_reach_every_parameter(encoder, batch):
    encoder.zero_grad()
    found = encoder(batch)
    (found.pooled.square().sum() + found.tokens.square().sum()).backward()
    missing = [name for name, each in encoder.named_parameters() if each.grad is None]
    # Tokens that stand for hidden patches are used in pretraining alone.
    assert [name for name in missing if "mask_token" not in name] == []
    encoder.zero_grad()


def test_a_copy_for_inference_gives_the_same_vectors(encoder, batch):
    with torch.no_grad():
        plain = encoder(batch).pooled
        assert close(plain, encoder.copied_as(torch.float32)(batch).pooled)
        coarse = encoder.copied_as(torch.bfloat16)(batch).pooled.float()
    assert torch.cosine_similarity(plain, coarse).min() > 0.999


def test_a_copy_leaves_the_encoder_alone(encoder):
    before = encoder.fingerprint(encoder.depth)
    names = list(encoder.state_dict())
    encoder.copied_as(torch.bfloat16)
    assert encoder.fingerprint(encoder.depth) == before
    assert list(encoder.state_dict()) == names


def test_fresh_weights_are_those_of_the_seed(encoder):
    before = encoder.fingerprint(1)
    one, other, again = (tiny_encoder("resnet") for _ in range(3))
    one.reset(1)
    other.reset(2)
    again.reset(1)
    assert one.fingerprint(1) == again.fingerprint(1) != other.fingerprint(1)
    assert before == encoder.fingerprint(1)


def test_the_fingerprint_sees_what_a_prefix_computes():
    encoder = tiny_encoder("resnet")
    marks = [encoder.fingerprint(layers) for layers in range(1, encoder.depth + 1)]
    assert len(set(marks)) == encoder.depth
    encoder.layers()[3][0].layers[0].layer[0].normalization.running_mean += 1
    changed = [encoder.fingerprint(layers) for layers in range(1, encoder.depth + 1)]
    assert [a == b for a, b in zip(marks, changed, strict=True)] == [True] * 3 + [False] * 2
    assert tiny_encoder("resnet", 64).fingerprint(1) != marks[0]


def test_folding_finds_every_normaliser():
    for kind in BATCH_NORM:
        encoder = tiny_encoder(kind)
        copy = encoder.copied_as(torch.float32)
        norms = [each for each in copy.modules() if isinstance(each, torch.nn.BatchNorm2d)]
        assert norms == []


def test_what_cannot_be_folded_still_runs_in_16_bits():
    encoder = tiny_encoder("resnet")
    encoder._folds = False
    batch = encoder.collate(encoder.preprocess(photos(2)))
    with torch.no_grad():
        plain = encoder(batch).pooled
        coarse = encoder.copied_as(torch.bfloat16)(batch).pooled.float()
    assert torch.cosine_similarity(plain, coarse).min() > 0.999


def test_rows_wait_until_they_are_collated():
    encoder = tiny_encoder("vit")
    rows = encoder.preprocess(photos(4))
    assert isinstance(rows, Preprocessed)
    assert rows.lengths.tolist() == [4] * 4
    assert len(set(rows.keys().tolist())) == 4
    taken = rows.take([3, 1])
    assert taken.keys().tolist() == rows.keys()[[3, 1]].tolist()
    both, one = encoder.collate(rows)["pixels"], encoder.collate(taken)["pixels"]
    assert torch.equal(both[[3, 1]], one)
    assert both.dtype == torch.uint8


def test_images_bytes_and_missing_pictures_will_do(tmp_path):
    encoder = tiny_encoder("vit")
    path = tmp_path / "one.png"
    photo(1).save(path)
    pixels = encoder.collate(encoder.preprocess([photo(1), path.read_bytes(), None]))["pixels"]
    assert torch.equal(pixels[0], pixels[1])
    assert (pixels[2] == 128).all()
    assert len(encoder.preprocess([photo(1), path.read_bytes()]).keys()) == 2


def test_an_image_in_memory_is_seen_as_its_file_is(tmp_path):
    encoder = tiny_encoder("resnet")
    turned = photo(1, 40, 24)
    notes = turned.getexif()
    notes[0x0112] = 6
    clear = photo(2, 30, 30).convert("RGBA")
    clear.putalpha(100)
    wide = Image.fromarray(np.asarray(photo(3, 30, 30).convert("L")).astype(np.uint16) * 257)
    for name, image in {"turned": turned, "clear": clear, "wide": wide}.items():
        path = tmp_path / f"{name}.png"
        image.save(path, exif=notes if name == "turned" else None)
        with Image.open(path) as opened:
            opened.load()
            found = encoder.collate(encoder.preprocess([opened, path.read_bytes()]))["pixels"]
        assert torch.equal(found[0], found[1]), name


def test_images_are_told_apart_by_the_colours_of_their_palette():
    one = Image.new("P", (8, 8))
    two = one.copy()
    one.putpalette([255, 0, 0])
    two.putpalette([0, 0, 255])
    keys = tiny_encoder("resnet").preprocess([one, two]).keys()
    assert keys[0] != keys[1]


def test_broken_pictures_are_all_named_by_row():
    encoder = tiny_encoder("vit")
    pictures = photos(4)
    broken = type(pictures).of([pictures[0], b"<html>", pictures[1], b""])
    with pytest.raises(DataError) as caught:
        encoder.collate(encoder.preprocess(broken).take([3, 1, 0]))
    assert len(caught.value.problems) == 2
    assert "row 2" in str(caught.value)
    assert "row 4" in str(caught.value)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "swin", "beit", "resnet", "clip"])
def test_other_sizes(kind):
    encoder = tiny_encoder(kind, 64)
    batch = encoder.collate(encoder.preprocess(photos(2)))
    assert batch["pixels"].shape == (2, 3, 64, 64)
    with torch.no_grad():
        assert torch.isfinite(encoder(batch).pooled).all()
    assert encoder.can_resume(2)


def test_a_long_prefix_is_not_kept():
    # Its first map, 8 x 16 x 16, is smaller than the picture; its second would be with 8 x 32 x 32.
    encoder = tiny_encoder("resnet")
    assert encoder.can_resume(1)
    encoder._resumes.clear()
    object.__setattr__(encoder.anatomy, "shapes", ((64, 16, 16), *encoder.anatomy.shapes[1:]))
    assert not encoder.can_resume(1)


def test_attention_can_be_switched():
    encoder = tiny_encoder("vit")
    batch = encoder.probe_batch()
    with torch.no_grad():
        plain = encoder(batch).pooled
        assert encoder.attention == "sdpa"
        assert encoder.set_attention("eager")
        assert encoder.attention == "eager"
        assert close(plain, encoder(batch).pooled)
    assert encoder.set_attention("sdpa")


def test_unknown_choices_are_refused():
    with pytest.raises(ModelError, match="Did you mean 'frozen'"):
        tiny_encoder("resnet", batch_norm="frozzen")
    with pytest.raises(ValueError, match="from_layer"):
        tiny_encoder("vit")({"pixels": torch.zeros(1, 3, 32, 32)}, from_layer=2)
