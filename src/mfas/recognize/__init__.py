"""A saved model becomes predictions of recordings."""

from mfas.recognize.prediction import Prediction, SegmentPrediction
from mfas.recognize.recognizer import Recognizer, audio_files

__all__ = ["Prediction", "Recognizer", "SegmentPrediction", "audio_files"]
