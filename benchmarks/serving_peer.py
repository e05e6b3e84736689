"""The peer: a plain FastAPI app around a transformers pipeline, as tutorials write it.

python benchmarks/serving_peer.py FOLDER PORT
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

folder, port = sys.argv[1:]
classify = pipeline("text-classification", model=folder)
app = FastAPI()


class Texts(BaseModel):
    """What is asked."""

    texts: list[str]


@app.get("/ready")
def ready() -> dict[str, str]:
    """Whether it answers."""
    return {"status": "ready"}


@app.post("/v1/models/bench/predict")
def predict(asked: Texts) -> dict[str, object]:
    """Answer texts."""
    return {"predictions": classify(asked.texts)}


if __name__ == "__main__":
    uvicorn.run(app, port=int(port), log_level="warning")
