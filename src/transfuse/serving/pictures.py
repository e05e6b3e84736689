"""Pictures in a request: out of their base64, with bounds on what they claim to be."""

import base64
import binascii
from collections.abc import Sequence

from PIL import Image

from transfuse.data.images import Picture
from transfuse.data.images.decode import BROKEN, fault_of, opened
from transfuse.errors import Problem
from transfuse.serving.options import Serving
from transfuse.serving.problems import RefusedError

__all__ = ["pictures_in"]


def pictures_in(images: Sequence[str], options: Serving) -> list[Picture]:
    """The pictures of a request, of which no more than the headers is read yet.

    Args:
        images: Files in base64, each alone or as a data URL.
        options: The bounds.

    Raises:
        RefusedError: If there are too many, one is no base64 or no picture, or it claims too many
            pixels (422).
    """
    most = min(options.max_images, options.queue)
    if len(images) > most:
        what, expected = f"has {len(images):,} pictures", f"at most {most:,}"
        raise RefusedError(422, Problem("images", what, expected, "Send them in several requests."))
    return [_picture(f"images[{place}]", image, options) for place, image in enumerate(images)]


def _picture(where: str, image: str, options: Serving) -> Picture:
    expected = "a picture file in base64, or its data URL"
    data = image
    if image[:5].lower() == "data:":
        kind, comma, data = image[5:].partition(",")
        if not comma or not kind.lower().endswith(";base64"):
            raise RefusedError(422, Problem(where, "is a data URL without base64", expected))
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(422, Problem(where, "is no base64", expected)) from None
    try:
        with opened(content, options.max_pixels):
            # The name stands in what is told of a picture that turns out to be cut off.
            return Picture(content=content, path=where)
    except Image.DecompressionBombError:
        most = f"at most {options.max_pixels:,} pixels"
        raise RefusedError(422, Problem(where, "claims too many pixels", most)) from None
    except BROKEN as error:
        what, *_ = fault_of(error, content)
        raise RefusedError(422, Problem(where, what, expected)) from None
