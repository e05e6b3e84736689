"""The runnable example that lies beside an exported model and needs nothing of ours."""

from transfuse.errors import ModelError, Problem
from transfuse.models.images.portable import PictureInputs
from transfuse.models.images.processing import Processing
from transfuse.models.portable import GraphInputs, TextInputs

__all__ = ["EXAMPLE", "example"]

EXAMPLE = "example.py"

_TEXTS = '''"""This folder's model without Transfuse: python example.py "a text" "another text"."""

import json, sys
from pathlib import Path

import {runtime}
import numpy as np
from tokenizers import Tokenizer

here = Path(__file__).resolve().parent
about = json.loads((here / "transfuse.json").read_text("utf-8"))
tokenizer = Tokenizer.from_file(str(here / "tokenizer.json"))
tokenizer.enable_truncation({max_length})
tokenizer.enable_padding(pad_id={padding})
texts = sys.argv[1:] or ["A text.", "And another, which is a little longer."]
rows = tokenizer.encode_batch(texts)
ids, mask = (np.array([getattr(row, name) for row in rows]) for name in ("ids", "attention_mask"))
inputs = {{"input_ids": ids, "attention_mask": mask}}
{run}
{scores}
for text, row in zip(texts, scores.tolist()):
    print(json.dumps({{"text": text, **dict(zip(about["labels"], row))}}, ensure_ascii=False))
'''

_PICTURES = '''"""This folder's model without Transfuse: python example.py photo.jpg another.png."""

import json, sys
from pathlib import Path

import {runtime}
import numpy as np
from PIL import Image, ImageOps

here = Path(__file__).resolve().parent
about = json.loads((here / "transfuse.json").read_text("utf-8"))
names = sys.argv[1:] or sys.exit(__doc__)
pictures = [ImageOps.exif_transpose(Image.open(name)).convert("RGB") for name in names]
{prepare}
inputs = {{"pixel_values": pixels.transpose(0, 3, 1, 2).astype(np.float32)}}
{run}
{scores}
for name, row in zip(names, scores.tolist()):
    print(json.dumps({{"image": name, **dict(zip(about["labels"], row))}}, ensure_ascii=False))
'''

_RUN = {
    "onnxruntime": "session = onnxruntime.InferenceSession("
    'str(here / "model.onnx"), providers=["CPUExecutionProvider"])\n'
    "logits = session.run(None, inputs)[{place}].astype(np.float64)",
    "openvino": 'model = openvino.Core().compile_model(str(here / "openvino_model.xml"), "CPU")\n'
    "logits = model(inputs)[{place}].astype(np.float64)",
}
_SCORES = {
    "classification": 'logits = logits / about["scorecard"]["temperature"]\n'
    "shares = np.exp(logits - logits.max(1, keepdims=True))\n"
    "scores = shares / shares.sum(1, keepdims=True)",
    "multilabel": "scores = 1 / (1 + np.exp(-logits))",
    "regression": 'task = about["task"]["regression"]\n'
    'scores = logits * task["deviation"] + task["mean"]',
}


def example(runtime: str, kind: str, place: int, inputs: GraphInputs) -> str:
    """The program.

    Args:
        runtime: `onnxruntime` or `openvino`.
        kind: The task's kind.
        place: Which output of the graph is answered.
        inputs: How rows become the graph's inputs.

    Raises:
        ModelError: For inputs that no example is known of.
    """
    common = {"runtime": runtime, "run": _RUN[runtime].format(place=place), "scores": _SCORES[kind]}
    match inputs:
        case TextInputs():
            return _TEXTS.format(**common, max_length=inputs.max_length, padding=inputs.padding)
        case PictureInputs():
            return _PICTURES.format(**common, prepare=_preparing(inputs.processing))
    raise ModelError(Problem("example", f"nothing is known of {type(inputs).__name__}"))


def _preparing(processing: Processing) -> str:
    """How pictures become normalised pixels, in Pillow and numpy alone where they can."""
    if processing.library is not None:
        return (
            "from transformers import AutoImageProcessor\n\n"
            'processor = AutoImageProcessor.from_pretrained(here, backend="pil")\n'
            "found = processor(pictures, return_tensors=\"np\")['pixel_values']\n"
            "pixels = found.transpose(0, 2, 3, 1)"
        )
    lines = []
    resized = "picture"
    match processing.resize:
        case int(short):
            lines += [
                f"sides = lambda picture: [int({short} * side / min(picture.size)) "
                "for side in picture.size]"
            ]
            resized = f"picture.resize(sides(picture), {processing.resample})"
        case (height, width):
            resized = f"picture.resize(({width}, {height}), {processing.resample})"
    lines.append(f"pictures = [{resized} for picture in pictures]")
    if processing.crop:
        side = processing.size
        lines += [
            f"corner = lambda picture: [(side - {side}) // 2 for side in picture.size]",
            f"boxes = [(x, y, x + {side}, y + {side}) for x, y in map(corner, pictures)]",
            "pictures = [picture.crop(box) for picture, box in zip(pictures, boxes)]",
        ]
    lines += [
        f"factor, offset = {list(processing.factor)}, {list(processing.offset)}",
        "pixels = np.stack(pictures) * np.array(factor) + np.array(offset)",
    ]
    return "\n".join(lines)
