"""Features of a manifest, one readable training loop, checkpoints that resume exactly."""

from mfas.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mfas.train.data import SegmentSet
from mfas.train.device import cpu_threads, make_accelerator
from mfas.train.features import Features, Progress, prepare_features
from mfas.train.loop import EpochScores, FitResult, fit, loss_function, train_step
from mfas.train.scores import Scores
from mfas.train.scoring import score_utterances, utterance_log_probabilities
from mfas.train.seeds import derive_seed, drawing_from, shuffled

__all__ = [
    "Checkpoint",
    "EpochScores",
    "Features",
    "FitResult",
    "Progress",
    "Scores",
    "SegmentSet",
    "cpu_threads",
    "derive_seed",
    "drawing_from",
    "fit",
    "load_checkpoint",
    "loss_function",
    "make_accelerator",
    "prepare_features",
    "save_checkpoint",
    "score_utterances",
    "shuffled",
    "train_step",
    "utterance_log_probabilities",
]
