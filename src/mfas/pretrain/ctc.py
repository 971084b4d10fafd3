"""Fine-tuning on transcripts: recordings and their texts enter, the CTC loss leaves.

Connectionist temporal classification (Graves et al., ICML 2006) with one linear layer on the last
layer of the encoder, as wav2vec 2.0 (arXiv 2006.11477) is fine-tuned. MFAS (arXiv 2306.09361) takes
such an encoder for TEC.

SpecAugment (Park et al., arXiv 1904.08779) hides spans of time and bands of features in training;
both widths are uniform from 0 to the largest, and hidden values are 0. On log-mel front ends these
are mel bands, before the projection, where 0 is the mean; on convolutions they are neighbouring
features after the projection, as wav2vec 2.0 does. Time warping is left out.

With `ctc.consistency` every recording is seen twice, hidden and dropped differently, and the two
must agree (CR-CTC, Yao et al., arXiv 2410.05101): the mean of their CTC losses, plus the weighted
consistency loss, half the sum over frames of the divergence of each view from the other one, which
is held fixed.

Choices: all spans of time of a recording together hide at most `ctc.time_mask_share` of its frames,
each at most its part of that; losses are sums over utterances divided by the characters of the batch
of all processes, so that every character counts the same.

Shape legend: B rows of this process, N samples, T encoder frames, D width, M mel frames of 10 ms,
F features or mel bands, K classes, S spans, L places (frames or features).
"""

import json
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from mfas.config import CtcSection
from mfas.encoders import Features, LogMel, TransformerEncoder
from mfas.encoders.front_ends import STACK
from mfas.encoders.seeds import initialise, seeded
from mfas.errors import ModelError
from mfas.pretrain.objective import Objective, ObjectiveOutput, SpeechBatch, mean_over_processes
from mfas.pretrain.transcripts import BLANK, CHARACTERS, encode, greedy
from mfas.storage import write_bytes

HEAD_FILE = "ctc.safetensors"


def fits(text: str, frames: int) -> bool:
    """Whether CTC can spell `text` in `frames` frames: one each, and a blank inside double letters.

    An empty text does not fit: there is nothing to learn from it. Rows that do not fit must not
    reach the objective, their loss is infinite.
    """
    classes = encode(text)
    repeats = sum(before == after for before, after in pairwise(classes))
    return len(classes) > 0 and len(classes) + repeats <= frames


def count_frames(encoder: TransformerEncoder, samples_B: Tensor) -> Tensor:
    """Real frames of recordings of any length; `SpeechEncoder.frame_counts` is about segments."""
    field = encoder.receptive_field
    return (samples_B.clamp(min=field) - field) // encoder.front.stride + 1


class CtcHead(nn.Module):
    """Dropout and one linear layer: hidden states become log probabilities of characters."""

    def __init__(self, dim: int, dropout: float, seed: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        with seeded(seed):
            self.linear = nn.Linear(dim, len(CHARACTERS))
        initialise(self, seed)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, K), always in float32."""
        return self.linear(self.dropout(hidden_BTD)).log_softmax(-1, dtype=torch.float32)

    @torch.no_grad()
    def penalise_blank(self, nats: float) -> None:
        """Take `nats` from the score of the blank, for good (see `mfas.pretrain.spelling`)."""
        self.linear.bias[BLANK] -= nats

    def save(self, folder: Path) -> None:
        """Write ctc.safetensors, with the characters in its metadata, whole or not at all."""
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        metadata = {"format": "pt", "characters": json.dumps(CHARACTERS)}
        write_bytes(Path(folder) / HEAD_FILE, save(weights, metadata=metadata))

    def load(self, folder: Path) -> None:
        """Take the weights that `save` wrote. Raises `ModelError` if they are missing or damaged."""
        file = Path(folder) / HEAD_FILE
        if not file.is_file():
            raise ModelError(f'{file}: not found; pretrain with objective = "ctc" to have it')
        try:
            with safe_open(file, framework="pt") as content:
                if tuple(json.loads(content.metadata()["characters"])) != CHARACTERS:
                    raise KeyError("other characters than this version's")
                self.load_state_dict({name: content.get_tensor(name) for name in content.keys()})  # noqa: SIM118
        except (OSError, SafetensorError, RuntimeError, TypeError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ModelError(f"{file}: damaged head ({reason}); copy it again") from error


class CtcObjective(Objective):
    """An encoder and a head of characters, trained on whole recordings with their texts."""

    def __init__(self, encoder: TransformerEncoder, settings: CtcSection, seed: int) -> None:
        super().__init__()
        self.encoder, self.settings = encoder, settings
        self.head = CtcHead(encoder.dim, encoder.config.dropout, seed)

    def forward(
        self,
        batch: SpeechBatch,
        progress: float,
        generator: torch.Generator,
    ) -> ObjectiveOutput:
        """CTC of a batch whose texts all fit; hides nothing in evaluation mode.

        Measures: ctc, nats a character; blank_share, real frames whose best class is blank; with
        two views also disagreement, the consistency loss before its weight, nats a character.
        """
        assert len(batch.texts) == len(batch.samples_B), "CTC needs a text for every row"
        views = 2 if self.training and self.settings.consistency > 0 else 1
        start = self._augmented(batch, generator, views) if self.training else self._plain(batch)
        log_probabilities_BTK, mask_BT = self._classify(start), start.mask_BT
        characters = _characters(batch.texts, mask_BT.device)  # of one view
        summed = _summed_ctc(log_probabilities_BTK, mask_BT, batch.texts * views)
        loss = ctc = summed / views / characters
        blank_BT = (log_probabilities_BTK.argmax(-1) == BLANK) & mask_BT
        blank_share = blank_BT.sum() / mean_over_processes(mask_BT.sum().float())
        measures = {"ctc": ctc.detach(), "blank_share": blank_share}
        if views == 2:
            disagreement = _summed_disagreement(log_probabilities_BTK, mask_BT) / characters
            loss = ctc + self.settings.consistency * disagreement
            measures["disagreement"] = disagreement.detach()
        return ObjectiveOutput(loss, measures)

    @torch.no_grad()
    def log_probabilities(self, batch: SpeechBatch) -> tuple[Tensor, Tensor]:
        """(B, T, K) and the real frames of each row, (B,), in evaluation mode."""
        training = self.training
        self.eval()
        try:
            start = self._plain(batch)
            return self._classify(start), start.mask_BT.sum(1)
        finally:
            self.train(training)

    def transcribe(self, batch: SpeechBatch) -> list[str]:
        """Greedy transcripts, in evaluation mode."""
        return greedy(*self.log_probabilities(batch))

    def save_head(self, folder: Path) -> None:
        """Write the head beside the encoder's own files; see `load_transcriber`."""
        self.head.save(folder)

    def _plain(self, batch: SpeechBatch) -> Features:
        return self.encoder.front_end(batch.waveforms_BN, batch.samples_B)

    def _augmented(
        self, batch: SpeechBatch, generator: torch.Generator, views: int = 1
    ) -> Features:
        """The front end's features with spans of time and bands hidden; views one after the other."""
        front = self.encoder.front
        frames_B = count_frames(self.encoder, batch.samples_B)

        def hidden(frames: int, features: int) -> Tensor:
            shape = (frames, features)
            drawn = [self._hidden(batch, frames_B, shape, generator) for _ in range(views)]
            return torch.cat(drawn)

        if not isinstance(front, LogMel):
            plain = self._plain(batch)
            features_BTD, mask_BT = plain.features_BTD, plain.mask_BT.repeat(views, 1)
            hidden_BTF = hidden(*features_BTD.shape[1:])
            return Features(features_BTD.repeat(views, 1, 1).masked_fill(hidden_BTF, 0), mask_BT)
        log_mel_BMF = front.log_mel(batch.waveforms_BN)
        frames, bands = log_mel_BMF.shape[1] // STACK, log_mel_BMF.shape[2]
        hidden_BMF = hidden(frames, bands).repeat_interleave(STACK, dim=1)
        log_mel_BMF = log_mel_BMF[:, : frames * STACK].repeat(views, 1, 1)
        mask_BT = torch.arange(frames, device=frames_B.device) < frames_B[:, None]
        mask_BT = mask_BT.repeat(views, 1)
        projected_BTD = front.project(log_mel_BMF.masked_fill(hidden_BMF, 0))
        return Features(projected_BTD.masked_fill(~mask_BT[..., None], 0), mask_BT)

    def _hidden(
        self,
        batch: SpeechBatch,
        frames_B: Tensor,
        shape: tuple[int, ...],
        generator: torch.Generator,
    ) -> Tensor:
        """Bool (B, T, F), True = hidden, `shape` being (T, F).

        How many numbers are drawn depends on the number of rows alone: processes that pad to other
        lengths still draw the same.
        """
        settings, (frames, features) = self.settings, shape

        def draw(spans: int) -> Tensor:
            size = (batch.all_rows, spans, 2)
            drawn = torch.rand(size, generator=generator, device=generator.device)
            return batch.own_rows(drawn).to(frames_B.device)

        share = settings.time_mask_share / max(1, settings.time_masks)
        longest_B = (frames_B * share).long().clamp(max=settings.time_mask_frames)
        time_BT = _spans(draw(settings.time_masks), longest_B, frames_B, frames)
        features_B = torch.full_like(frames_B, features)
        widest_B = (features_B * settings.feature_mask_share).long()
        feature_BF = _spans(draw(settings.feature_masks), widest_B, features_B, features)
        return time_BT[..., None] | feature_BF[:, None]

    def _classify(self, start: Features) -> Tensor:
        """Features -> log probabilities (B, T, K)."""
        return self.head(self.encoder.context(start.features_BTD, start.mask_BT)[-1].hidden_BTD)


def load_transcriber(folder: Path) -> CtcObjective:
    """The encoder of `folder` and its head, in evaluation mode. Raises `ModelError`."""
    objective = CtcObjective(TransformerEncoder.load(folder, "tec"), CtcSection(), seed=0)
    objective.head.load(folder)
    return objective.eval()


def _summed_ctc(log_probabilities_BTK: Tensor, mask_BT: Tensor, texts: tuple[str, ...]) -> Tensor:
    """Nats, summed over the rows."""
    classes = [encode(text) for text in texts]
    device = log_probabilities_BTK.device
    return F.ctc_loss(
        log_probabilities_BTK.transpose(0, 1),
        torch.tensor([number for row in classes for number in row], device=device),
        mask_BT.sum(1),
        torch.tensor([len(row) for row in classes], device=device),
        blank=BLANK,
        reduction="sum",
        zero_infinity=False,
    )


def _summed_disagreement(log_probabilities_BTK: Tensor, mask_BT: Tensor) -> Tensor:
    """Nats by which the second half of the rows differs from the first, symmetric, over all frames.

    Equation 3 of CR-CTC: both directions, halved; the distribution that a view is compared with
    gets no gradient.
    """
    one_BTK, other_BTK = log_probabilities_BTK.chunk(2)
    mask_BT = mask_BT[: len(one_BTK)]
    to_one, to_other = (
        F.kl_div(view_BTK, fixed_BTK.detach(), reduction="none", log_target=True)[mask_BT].sum()
        for view_BTK, fixed_BTK in ((one_BTK, other_BTK), (other_BTK, one_BTK))
    )
    return (to_one + to_other) / 2


def _characters(texts: tuple[str, ...], device: torch.device) -> Tensor:
    """How many characters there are to spell: a process's mean share of all.

    What is divided by it is a mean over the characters of all processes once their losses are averaged.
    """
    own = float(sum(len(encode(text)) for text in texts))
    return mean_over_processes(torch.tensor(own, device=device))


def _spans(drawn_BS2: Tensor, widest_B: Tensor, room_B: Tensor, places: int) -> Tensor:
    """Bool (B, places): spans of 0 to `widest_B` places that lie within the first `room_B`.

    drawn_BS2: uniform in [0, 1), for the width and the start of each span.
    """
    width_BS = (drawn_BS2[..., 0] * (widest_B[:, None] + 1)).long()
    start_BS = (drawn_BS2[..., 1] * (room_B[:, None] - width_BS + 1)).long()
    places_L = torch.arange(places, device=drawn_BS2.device)
    after_BSL = places_L >= start_BS[..., None]
    return (after_BSL & (places_L < (start_BS + width_BS)[..., None])).any(1)
