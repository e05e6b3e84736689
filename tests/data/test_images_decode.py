"""Any picture becomes RGB, upright and on white; broken ones are told, in order, in threads."""

import contextlib
import io
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from transfuse.data.images import Picture, Pictures, check_pictures, decode, decode_all, looked_at
from transfuse.errors import DataError

RED, WHITE = (255, 0, 0), (255, 255, 255)


def saved(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width, height, seed=0):
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def corner():
    """White with a red corner at the upper left."""
    image = Image.new("RGB", (32, 16), "white")
    image.paste("red", (0, 0, 8, 8))
    return image


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_pictures_are_upright(turned, kind):
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = corner().transpose(back[turned]) if turned in back else corner()
    notes = Image.Exif()
    notes[0x0112] = turned
    image = decode(saved(stored, kind, exif=notes))
    assert image.size == (32, 16)
    shown = np.asarray(image, dtype=int)
    assert np.abs(shown[2:6, 2:6] - RED).max() < 60
    assert np.abs(shown[2:6, -6:-2] - WHITE).max() < 60


def test_broken_notes_do_not_lose_a_picture():
    content = saved(corner(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert decode(content).size == (32, 16)


def kinds():
    grey = Image.new("L", (3, 2), 128)
    clear = Image.new("RGBA", (3, 2), (255, 0, 0, 0))
    half = Image.new("RGBA", (3, 2), (255, 0, 0, 128))
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    deep = Image.fromarray(np.full((2, 3), 32_896, dtype=np.uint16))
    yield "greyscale", saved(grey), (128, 128, 128)
    yield "black and white", saved(Image.new("1", (3, 2), 1)), WHITE
    yield "transparent", saved(clear), WHITE
    yield "half transparent", saved(half), (255, 127, 127)
    yield "grey with alpha", saved(Image.new("LA", (3, 2), (0, 0))), WHITE
    yield "palette", saved(palette), RED
    yield "palette with a clear colour", saved(palette, transparency=1), WHITE
    yield "clear colour", saved(Image.new("RGB", (3, 2), RED), transparency=RED), WHITE
    yield "CMYK", saved(Image.new("CMYK", (3, 2), (0, 0, 0, 255)), "TIFF"), (0, 0, 0)
    yield "16 bits", saved(deep), (128, 128, 128)
    yield "16 bits in TIFF", saved(deep, "TIFF"), (128, 128, 128)
    yield "floating point", saved(Image.fromarray(np.full((2, 3), 0.5, "f4")), "TIFF"), (128,) * 3
    wide = Image.fromarray(np.array([[0, 1000]] * 2, dtype=np.int32))
    yield "32 bits", saved(wide, "TIFF"), (0, 0, 0)
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    yield "animated", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), RED
    yield "animated PNG", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), RED


@pytest.mark.parametrize(("content", "expected"), [pytest.param(*x[1:], id=x[0]) for x in kinds()])
def test_every_kind_of_pixels_becomes_rgb(content, expected):
    image = decode(content)
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image, dtype=int)[0, 0] - expected).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_odd_shapes(size):
    assert decode(saved(Image.new("RGB", size)), 64).size == size


def test_a_jpeg_is_decoded_as_small_as_is_enough():
    content = saved(noise(640, 480), "JPEG")
    assert decode(content).size == (640, 480)
    for size in (480, 240, 239, 120, 100, 60, 1):
        image = decode(content, size)
        assert min(image.size) >= size
        assert image.width * 3 == image.height * 4
    assert decode(content, 60).size == (80, 60)


def test_a_bomb_is_refused_by_its_header():
    content = saved(Image.new("1", (9_000, 8_000)))
    with pytest.raises(DataError, match=r"9,000 x 8,000 pixels.*at most 64,000,000"):
        decode(content)
    small = saved(Image.new("L", (20, 20)))
    with pytest.raises(DataError, match="20 x 20"):
        decode(small, most_pixels=399)
    assert decode(small, most_pixels=400).size == (20, 20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_a_picture_that_is_cut_off_is_found_on_reading(kind, tmp_path):
    content = saved(noise(120, 100), kind)
    assert len(content) > 8_192
    path = tmp_path / "x"
    path.write_bytes(content[:-200])
    rows = Pictures.of([content, content[:-200], path, None])
    assert list(check_pictures(rows)) == [1, 2]


def test_checking_does_not_decode_what_looks_whole(monkeypatch):
    def refused(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("transfuse.data.images.check.decode", refused)
    contents = [saved(noise(120, 100), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")]
    assert check_pictures(Pictures.of(contents), workers=1) == {}


def test_headers_are_looked_at():
    looks = looked_at(Picture(saved(noise(30, 20), "JPEG")))
    assert (looks.width, looks.height) == (30, 20)
    assert (looks.mode, looks.format, looks.animated) == ("RGB", "JPEG", False)
    with pytest.raises(DataError, match="not a picture"):
        looked_at(Picture(b"text"))


@pytest.mark.parametrize("workers", [1, 3])
def test_pictures_are_decoded_in_order_and_few_ahead(workers):
    read = []
    lock = threading.Lock()

    class Watched(Picture):
        def read(self):
            with lock:
                read.append(self.path)
            return saved(Image.new("L", (int(self.path), 1)))

    rows = [None if n == 3 else Watched(path=str(n)) for n in range(1, 100)]
    found = decode_all(rows, workers=workers)
    assert next(found).width == 1
    assert len(read) <= 6 * workers
    assert [None if one is None else one.width for one in found] == [2, None, *range(4, 100)]


def test_broken_pictures_are_told_by_row_and_stop_the_decoding():
    contents = [saved(noise(8, 8, n)) for n in range(500)]
    contents[4] = contents[5] = b"broken"
    rows = Pictures.of(contents).take(range(1, 500))
    found = decode_all(rows, workers=2)
    assert len([next(found) for _ in range(3)]) == 3
    with pytest.raises(DataError) as caught:
        list(found)
    assert [one.where for one in caught.value.problems] == ["image, row 5", "image, row 6"]


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_never_end_in_another_error(seed):
    random = np.random.default_rng(seed)
    kind = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "TGA", "JPEG2000")[seed % 10]
    content = bytearray(saved(noise(40, 30), kind))
    for place in random.integers(0, len(content), 8):
        content[place] = random.integers(256)
    content = bytes(content[: random.integers(1, len(content) + 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_pictures(Pictures.of([content]), workers=1)
        # Anything but this one error fails the test.
        with contextlib.suppress(DataError):
            assert decode(content).mode == "RGB"
