"""A model folder, ready to predict: a recording enters, a `Prediction` leaves.

An utterance's log-probabilities are the mean of its segments' (paper section 3), as in the
evaluation; with a head in closed form, of its windows of several segments, weighted by their frames.
Encoders are frozen here; one that was fine-tuned was tested unfrozen, which differs in the last digits.

Shape legend: S segments, W windows, F features, K classes.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor

from mfas.audio import RATE_HZ, Segments, prepare_samples, read_audio, segment
from mfas.errors import AudioError, ModelError
from mfas.heads import RidgeHead
from mfas.model import MFAS, Batch, ModelCard, joined, load_model, save_model
from mfas.recognize.prediction import Prediction, SegmentPrediction

DEFAULT_MODEL = Path(__file__).parent / "default"
SEGMENTS_AT_ONCE = 16
ADAPTED = "Adapted to one speaker"  # how the note begins
AUDIO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        "wav",
        "flac",
        "mp3",
        "ogg",
        "oga",
        "opus",
        "aif",
        "aiff",
        "au",
        "caf",
        "w64",
        "rf64",
    )
)


class Recognizer:
    """Predicts emotions with one model.

    `name` says which model, `classes` what it can answer, `notes` what its user must know.
    """

    def __init__(self, model: MFAS, card: ModelCard, name: str) -> None:
        self._model = model.eval()
        self._card = card
        self.name = name
        self.classes = tuple(card.classes)
        self.notes = tuple(card.notes)

    @classmethod
    def from_pretrained(
        cls, source: str | Path | None = None, revision: str | None = None
    ) -> "Recognizer":
        """Load a model folder, a Hub id, or (by default) the model that ships with mfas.

        Raises `ModelError` if there is no model at `source` or it is damaged.
        """
        if source is None:
            return cls(*load_model(DEFAULT_MODEL), name="default")
        folder = Path(source)
        if not folder.is_dir():
            folder = _from_hub(str(source), revision)
        return cls(*load_model(folder), name=str(source))

    def predict(self, audio: str | Path | tuple[np.ndarray, int]) -> Prediction:
        """Predict a file, or samples: (n,) or (n, channels) numbers with their rate in Hz.

        Raises `AudioError` for what cannot be analysed.
        """
        if isinstance(audio, tuple):
            samples, file = prepare_samples(*audio), None
        else:
            samples, file = read_audio(audio), str(audio)
        segments = segment(samples, views=not self._pools)
        if self._pools:
            log_probabilities_SK, mean_K = self._pooled_log_probabilities(segments)
        else:
            log_probabilities_SK = self._log_probabilities(segments)
            mean_K = log_probabilities_SK.mean(dim=0)
        probabilities = self._by_class(mean_K)
        return Prediction(
            file=file,
            duration=len(samples) / RATE_HZ,
            label=_most_probable(probabilities),
            probabilities=probabilities,
            segments=tuple(self._segments(segments, log_probabilities_SK)),
            model=self.name,
        )

    @property
    def can_adapt(self) -> bool:
        """Whether `adapt` works: the model has a head in closed form that was solved for voices."""
        head = self._model.head
        return isinstance(head, RidgeHead) and head.adapted.solved

    @torch.inference_mode()
    def adapt(self, audio: Sequence[str | Path | tuple[np.ndarray, int]]) -> "Recognizer":
        """A recogniser for one voice, from recordings of that speaker; no labels are needed.

        Twenty recordings help, one or two do not (docs/quality.md); they should hold the speaker's range of
        moods, since their mean becomes the middle. Raises `ModelError` if the model cannot be
        adapted, `AudioError` for the first recording that cannot be analysed, or if there is none.
        """
        if not self.can_adapt:
            raise ModelError(
                f'{self.name}: cannot be adapted to a voice; train a model with head.kind = "ridge"'
            )
        if isinstance(audio, (str, Path)) or (
            isinstance(audio, tuple) and isinstance(audio[-1], int)
        ):
            audio = [audio]
        if not audio:
            raise AudioError("no recordings of the speaker; name some to adapt to")
        model = copy.deepcopy(self._model)
        head = model.ridge
        rows = [features_F for one in audio for features_F in self._window_features(one)]
        head.adapt(head.make_voice(torch.stack(rows)))
        recordings = "1 recording" if len(audio) == 1 else f"{len(audio)} recordings"
        note = f"{ADAPTED} with {recordings}: do not use it for others."
        notes = (*(n for n in self._card.notes if not n.startswith(ADAPTED)), note)
        name = self.name.removesuffix(", adapted") + ", adapted"
        return Recognizer(model, replace(self._card, notes=notes), name)

    def save(self, folder: str | Path) -> None:
        """Write the model, with the voice it is adapted to, to a folder that must not exist."""
        save_model(Path(folder), self._model, self._card)

    @property
    def _pools(self) -> bool:
        return isinstance(self._model.head, RidgeHead)

    def _window_features(self, audio: str | Path | tuple[np.ndarray, int]) -> Iterator[Tensor]:
        samples = prepare_samples(*audio) if isinstance(audio, tuple) else read_audio(audio)
        for batch in self._windows(segment(samples, views=False)):
            streams, masks = self._model.streams(joined(batch))
            yield from self._model.ridge.pool(streams, masks)

    def _windows(self, segments: Segments) -> Iterator[Batch]:
        """Frames of the segments of one window after the other; so memory stays bounded."""
        size = self._model.ridge.context_segments
        for first in range(0, len(segments), size):
            rows = slice(first, first + size)
            waveforms = Batch(
                waveforms_BN=torch.from_numpy(segments.waveforms_SN[rows]),
                samples_B=torch.from_numpy(segments.samples_S[rows]),
            )
            yield Batch(
                sec=self._model.encoded("sec", waveforms), tec=self._model.encoded("tec", waveforms)
            )

    @torch.inference_mode()
    def _pooled_log_probabilities(self, segments: Segments) -> tuple[Tensor, Tensor]:
        """Of each segment on its own (S, K), and of the recording (K,)."""
        parts, windows, frames = [], [], []
        for batch in self._windows(segments):
            parts.append(self._model(batch))
            window = joined(batch)
            windows.append(self._model(window)[0])
            frames.append(float(window.real_frames()[0]))
        weights_W = torch.tensor(frames) / sum(frames)
        return torch.cat(parts), weights_W @ torch.stack(windows)

    @torch.inference_mode()
    def _log_probabilities(self, segments: Segments) -> Tensor:
        whole = Batch.from_segments(segments)
        parts = []
        for start in range(0, len(segments), SEGMENTS_AT_ONCE):
            rows = slice(start, start + SEGMENTS_AT_ONCE)
            part = {name: value[rows] for name, value in vars(whole).items() if value is not None}
            parts.append(self._model(replace(whole, **part)))
        return torch.cat(parts)

    def _segments(
        self, segments: Segments, log_probabilities_SK: Tensor
    ) -> Iterator[SegmentPrediction]:
        for (start, end), row_K in zip(segments.times(), log_probabilities_SK, strict=True):
            probabilities = self._by_class(row_K)
            yield SegmentPrediction(start, end, _most_probable(probabilities), probabilities)

    def _by_class(self, log_probabilities_K: Tensor) -> dict[str, float]:
        normalised_K = F.softmax(log_probabilities_K.double(), dim=-1)
        return dict(zip(self.classes, normalised_K.tolist(), strict=True))


def audio_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as the audio files below them (sorted).

    Raises `AudioError` for a folder without any.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        below = [p for p in path.rglob("*") if _is_audio(p)]
        if not below:
            raise AudioError(f"{path}: no audio files in this folder; name files or another folder")
        found += sorted(below)
    return found


def _is_audio(path: Path) -> bool:
    """By its name; hidden files, as the ._* that macOS leaves, are not."""
    named_so = path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    return named_so and path.is_file()


def _from_hub(source: str, revision: str | None) -> Path:
    try:
        patterns = ["*.json", "*.safetensors"]
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{source}: neither a model folder nor a model on the Hub that can be reached; "
            "check the name, the network, or train one with mfas train"
        ) from error


def _most_probable(probabilities: dict[str, float]) -> str:
    return max(probabilities, key=probabilities.__getitem__)
