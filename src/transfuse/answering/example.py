"""The runnable example that lies beside an exported model and needs nothing of ours."""

__all__ = ["EXAMPLE", "example"]

EXAMPLE = "example.py"

_TEXT = '''"""This folder's model without Transfuse: python example.py "a text" "another text"."""

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


def example(runtime: str, kind: str, place: int, max_length: int, padding: int) -> str:
    """The program.

    Args:
        runtime: `onnxruntime` or `openvino`.
        kind: The task's kind.
        place: Which output of the graph is answered.
        max_length: Longest text in tokens.
        padding: The token that fills short rows.
    """
    return _TEXT.format(
        runtime=runtime,
        run=_RUN[runtime].format(place=place),
        scores=_SCORES[kind],
        max_length=max_length,
        padding=padding,
    )
