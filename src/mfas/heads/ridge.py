"""A head for corpora of a few hundred utterances: pooled frames, then kernel ridge in closed form.

Every SEC level and the adjusted TEC frames x' are pooled over a window (`pooling`); a Gaussian kernel
compares the result with that of each training window, and a weighted sum of likenesses is the score of
a class. The weights solve a least-squares problem exactly (`train.closed_form`), so nothing is trained
by gradient and there are no epochs to choose. It stands where Co-attention stands (choice; arXiv
2306.09361, section 3): tens of thousands of weights are too many for 390 utterances.

Two solutions can be held side by side: `plain`, and `adapted` for windows that are standardised by the
statistics of their own speaker, a `Voice`, which takes unlabelled recordings of that speaker.

Shape legend: W windows, N training windows, T frames, D width, F features, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfas.heads.pooling import STATISTICS, pool_frames

Condition = Literal["plain", "adapted"]
CONDITIONS: tuple[Condition, ...] = ("plain", "adapted")
SMALLEST_DEVIATION = 1e-6
LARGEST = 20.0  # deviations: a feature that hardly varied in training must not outweigh all others
VOICE_PRIOR = 2.0  # windows that the population counts for in a voice


@dataclass(frozen=True)
class Voice:
    """Mean and deviation of a speaker's features, each (F,)."""

    mean_F: Tensor
    deviation_F: Tensor

    def standardise(self, features_WF: Tensor) -> Tensor:
        """Features in units of this voice."""
        return (features_WF - self.mean_F) / self.deviation_F.clamp(min=SMALLEST_DEVIATION)


class Stored(nn.Module):
    """Buffers whose rows follow from training: a saved model brings its own, and nothing else of it."""

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            saved = state.get(prefix + name)
            if saved is None or saved.ndim != buffer.ndim or saved.shape[1:] != buffer.shape[1:]:
                continue  # for the check that follows to refuse
            if buffer.ndim > 1 or buffer.numel() == 0:
                setattr(self, name, torch.empty_like(saved))
        super()._load_from_state_dict(state, prefix, *rest)


class KernelRidge(Stored):
    """Scores from likenesses to training windows. Empty until it is solved (`solved` is False).

    supports_NF: float16, standardised. mean_F, scale_F: what they were standardised by. dual_NK, bias_K:
    the solution. temperature: what scores are divided by to be log-odds.
    """

    supports_NF: Tensor
    mean_F: Tensor
    scale_F: Tensor
    dual_NK: Tensor
    bias_K: Tensor
    temperature: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("supports_NF", torch.zeros(0, features, dtype=torch.float16))
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("scale_F", torch.ones(features))
        self.register_buffer("dual_NK", torch.zeros(0, classes))
        self.register_buffer("bias_K", torch.zeros(classes))
        self.register_buffer("temperature", torch.ones(()))

    @property
    def solved(self) -> bool:
        """Whether it holds a solution."""
        return len(self.supports_NF) > 0

    def standardise(self, features_WF: Tensor) -> Tensor:
        """Features as `supports_NF` are: limited to `LARGEST`, and rounded to float16."""
        deviations_WF = (features_WF - self.mean_F) / self.scale_F
        return deviations_WF.clamp(-LARGEST, LARGEST).half().float()

    def forward(self, features_WF: Tensor) -> Tensor:
        """Class log-probabilities (W, K)."""
        assert self.solved, "a closed-form head is solved before it is asked"
        likeness_WN = gaussian_kernel(self.standardise(features_WF), self.supports_NF.float())
        scores_WK = likeness_WN @ self.dual_NK + self.bias_K
        return F.log_softmax(scores_WK / self.temperature, dim=-1)


class RidgeHead(Stored):
    """Pools `streams` sets of frames of width `dim`, and knows the solutions.

    context_segments: segments that are pooled together at most.
    population_mean_F, population_deviation_F: of all training speakers together, and within one of
    them: what a voice is shrunk towards. voice_...: of the one speaker that the model is adapted to,
    or empty.
    """

    population_mean_F: Tensor
    population_deviation_F: Tensor
    voice_mean_F: Tensor
    voice_deviation_F: Tensor

    def __init__(self, classes: int, dim: int, streams: int, context_segments: int = 1) -> None:
        super().__init__()
        self.streams, self.context_segments = streams, context_segments
        self.features = streams * dim * len(STATISTICS)
        self.plain = KernelRidge(self.features, classes)
        self.adapted = KernelRidge(self.features, classes)
        self.register_buffer("population_mean_F", torch.zeros(self.features))
        self.register_buffer("population_deviation_F", torch.ones(self.features))
        self.register_buffer("voice_mean_F", torch.zeros(0))
        self.register_buffer("voice_deviation_F", torch.zeros(0))

    @property
    def voice(self) -> Voice | None:
        """The speaker that the model is adapted to."""
        has_one = len(self.voice_mean_F) > 0
        return Voice(self.voice_mean_F, self.voice_deviation_F) if has_one else None

    def make_voice(self, features_WF: Tensor) -> Voice:
        """The voice of a speaker's windows, shrunk to the population as if by `VOICE_PRIOR` windows.

        So that a few recordings make a usable voice; with many, the prior hardly counts.
        """
        share = len(features_WF) / (len(features_WF) + VOICE_PRIOR)
        mean_F = features_WF.mean(0)
        variance_F = (features_WF - mean_F).square().mean(0)
        return Voice(
            share * mean_F + (1 - share) * self.population_mean_F,
            (share * variance_F + (1 - share) * self.population_deviation_F.square()).sqrt(),
        )

    def adapt(self, voice: Voice) -> None:
        """Answer for this speaker from now on."""
        self.voice_mean_F = voice.mean_F.clone()
        self.voice_deviation_F = voice.deviation_F.clone()

    def pool(self, streams_WTD: Sequence[Tensor], masks_WT: Sequence[Tensor]) -> Tensor:
        """Frames of each stream -> features (W, F)."""
        pairs = zip(streams_WTD, masks_WT, strict=True)
        return torch.cat([pool_frames(stream.float(), mask) for stream, mask in pairs], dim=-1)

    def classify(self, features_WF: Tensor, voice: Voice | None = None) -> Tensor:
        """Features -> class log-probabilities (W, K); adapted, if a voice is given."""
        if voice is None:
            return self.plain(features_WF)
        return self.adapted(voice.standardise(features_WF))

    def forward(self, streams_WTD: Sequence[Tensor], masks_WT: Sequence[Tensor]) -> Tensor:
        """Class log-probabilities (W, K), for the voice that the model is adapted to, if any."""
        return self.classify(self.pool(streams_WTD, masks_WT), self.voice)


def gaussian_kernel(left_WF: Tensor, right_NF: Tensor) -> Tensor:
    """exp(-|a - b|^2 / 2 F): 1 for equal rows, about exp(-1) for unrelated standardised ones."""
    squares_W1 = left_WF.square().sum(1, keepdim=True)
    squares_N = right_NF.square().sum(1)
    distances_WN = (squares_W1 + squares_N - 2 * left_WF @ right_NF.T).clamp(min=0)
    return (-distances_WN / (2 * left_WF.shape[1])).exp()
