"""The FastAPI model application of the usual tutorials. TUTORIAL_MODEL names a joblib file."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime

import joblib
import numpy as np
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

model = joblib.load(os.environ["TUTORIAL_MODEL"])
app = FastAPI()


class Request(BaseModel):
    features: list[float]
    model_version: str | None = None


class Response(BaseModel):
    prediction: int
    probability: list[float]
    confidence: float
    model_version: str
    prediction_id: str
    timestamp: datetime = Field(default_factory=lambda: datetime.now(UTC))
    inference_time_ms: float


class BatchRequest(BaseModel):
    features: list[list[float]]


class BatchResponse(BaseModel):
    predictions: list[int]
    confidences: list[float]
    model_version: str
    batch_size: int
    prediction_id: str
    total_time_ms: float


@app.post("/api/v1/predict", response_model=Response)
async def predict(request: Request) -> Response:
    try:
        started_s = time.time()
        row = np.array([request.features])
        prediction = model.predict(row)[0]
        probability = model.predict_proba(row)[0].tolist()
        return Response(
            prediction=int(prediction),
            probability=probability,
            confidence=max(probability),
            model_version="v1",
            prediction_id=str(uuid.uuid4()),
            inference_time_ms=(time.time() - started_s) * 1000,
        )
    except Exception as error:
        raise HTTPException(500, str(error)) from error


@app.post("/api/v1/predict/batch", response_model=BatchResponse)
async def predict_batch(request: BatchRequest) -> BatchResponse:
    try:
        started_s = time.time()
        rows = np.array(request.features)
        predictions = model.predict(rows).tolist()
        confidences = model.predict_proba(rows).max(axis=1).tolist()
        return BatchResponse(
            predictions=predictions,
            confidences=confidences,
            model_version="v1",
            batch_size=len(predictions),
            prediction_id=str(uuid.uuid4()),
            total_time_ms=(time.time() - started_s) * 1000,
        )
    except Exception as error:
        raise HTTPException(500, str(error)) from error
