"""Pretraining of our own encoders: quantised and continuous targets, and CTC on transcripts.

Speech enters as a manifest, an encoder folder leaves (MFAS, arXiv 2306.09361, section 4).
"""

from mfas.pretrain.continuous import ContinuousObjective
from mfas.pretrain.ctc import CtcObjective, load_transcriber
from mfas.pretrain.masks import span_masks
from mfas.pretrain.objective import Guard, Objective, ObjectiveOutput, SpeechBatch
from mfas.pretrain.run import make_objective, pretrain, start_encoder
from mfas.pretrain.transcripts import ErrorRates, error_rates

__all__ = [
    "ContinuousObjective",
    "CtcObjective",
    "ErrorRates",
    "Guard",
    "Objective",
    "ObjectiveOutput",
    "SpeechBatch",
    "error_rates",
    "load_transcriber",
    "make_objective",
    "pretrain",
    "span_masks",
    "start_encoder",
]
