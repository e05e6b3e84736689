"""The runnable example that lies beside an exported model and needs nothing of ours."""

__all__ = ["EXAMPLE", "example"]

EXAMPLE = "example.py"

_TEXT = '''"""python example.py "a text" "another": answers of this folder's model, without Transfuse."""

import json, sys
from pathlib import Path

import {runtime}
import numpy as np
from tokenizers import Tokenizer

here = Path(__file__).resolve().parent
about, made = (json.loads((here / f"{{name}}.json").read_text("utf-8")) for name in ("transfuse", "exported"))
tokenizer = Tokenizer.from_file(str(here / "tokenizer.json"))
tokenizer.enable_truncation(made["max_length"])
tokenizer.enable_padding(pad_id=made["padding"])
texts = sys.argv[1:] or ["A text.", "And another, which is a little longer."]
rows = tokenizer.encode_batch(texts)
inputs = {{"input_ids": np.array([row.ids for row in rows]), "attention_mask": np.array([row.attention_mask for row in rows])}}
{run}
{scores}
for text, row in zip(texts, scores):
    print(json.dumps({{"text": text, **dict(zip(about["labels"], row.tolist()))}}, ensure_ascii=False))
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


def example(runtime: str, kind: str, place: int) -> str:
    """The program.

    Args:
        runtime: `onnxruntime` or `openvino`.
        kind: The task's kind.
        place: Which output of the graph is answered.
    """
    run = _RUN[runtime].format(place=place)
    return _TEXT.format(runtime=runtime, run=run, scores=_SCORES[kind])
