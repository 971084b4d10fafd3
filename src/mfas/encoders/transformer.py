"""Our own encoders: the model of Table 1 and the compact one, from a seed or from a folder.

Waveforms of segments enter; hidden states leave (MFAS, arXiv 2306.09361, section 4). Pretraining
takes the encoder apart at its seams: `front_end` (waveforms to features, where masking happens),
`position`, and `context` (features to the output of every layer).

Shape legend: B segments, N samples, L levels, T encoder frames, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mfas.audio import SEGMENT_SAMPLES
from mfas.encoders.base import Role, SpeechEncoder, level_layers
from mfas.encoders.front_ends import Convolutions, LogMel
from mfas.encoders.layers import LayerOutput, PositionEmbedding, TransformerLayer, run_layers
from mfas.encoders.seeds import initialise, seeded
from mfas.encoders.settings import EncoderConfig
from mfas.errors import ModelError
from mfas.storage import read_json, write_bytes, write_json

FORMAT = 1  # of the folder; the value of "mfas_encoder" in config.json
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


@dataclass(frozen=True)
class Features:
    """What the front end makes. features_BTD: float. mask_BT: bool, True = real frame."""

    features_BTD: Tensor
    mask_BT: Tensor


class TransformerEncoder(SpeechEncoder):
    """One of our encoders, with random weights that follow from `seed` alone.

    Raises `ModelError` if the role needs more layers than it has.
    """

    def __init__(self, config: EncoderConfig, role: Role = "sec", seed: int = 0) -> None:
        super().__init__()
        self.config, self.name, self.trained = config, config.name, False
        self.dim, self.depth = config.dim, config.depth
        self.layers = level_layers(config.depth, role, config.name)
        with seeded(seed):
            self.front = _front(config)
            self.position = PositionEmbedding(config)
            self.dropout = nn.Dropout(config.dropout)
            self.blocks = nn.ModuleList(TransformerLayer(config) for _ in range(config.depth))
        initialise(self, seed)
        self.receptive_field = self.front.receptive_field
        self.frames_per_segment = int(self._count_frames(torch.tensor(SEGMENT_SAMPLES)))

    def front_end(self, waveforms_BN: Tensor, samples_B: Tensor) -> Features:
        """Waveforms of any common length (B, N) -> features (B, T, D), zero behind the ends."""
        samples_B = samples_B.clamp(min=self.receptive_field)
        features_BTD = self.front(waveforms_BN, samples_B)
        frames_T = torch.arange(features_BTD.shape[1], device=features_BTD.device)
        mask_BT = frames_T < self._count_frames(samples_B)[:, None]
        return Features(features_BTD.masked_fill(~mask_BT[..., None], 0), mask_BT)

    def context(self, features_BTD: Tensor, mask_BT: Tensor) -> list[LayerOutput]:
        """Features (B, T, D) -> the output of each layer, in order."""
        return self.transform(self.position(features_BTD, mask_BT), mask_BT)

    def transform(self, positioned_BTD: Tensor, mask_BT: Tensor | None) -> list[LayerOutput]:
        """The layers alone; frames may have been left out after `position` (data2vec 2.0)."""
        return run_layers(self.blocks, self.dropout(positioned_BTD), mask_BT)

    def renew_layers(self, count: int, seed: int) -> None:
        """Give the last `count` layers random weights again, which follow from `seed`."""
        fresh = TransformerEncoder(self.config, seed=seed)
        for own, new in list(zip(self.blocks, fresh.blocks, strict=True))[self.depth - count :]:
            own.load_state_dict(new.state_dict())

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors, each whole or not at all."""
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        write_bytes(Path(folder) / WEIGHTS_FILE, save(weights, metadata={"format": "pt"}))
        described = {"mfas_encoder": FORMAT, "trained": self.trained, **self.config.to_json()}
        write_json(Path(folder) / CONFIG_FILE, described)

    @classmethod
    def load(cls, folder: Path, role: Role = "sec", **changes: Any) -> "TransformerEncoder":
        """Read what `save` wrote; `changes` are made to its config, such as dropout or name.

        Raises `ModelError` if it is not there, damaged or of a newer format.
        """
        folder = Path(folder)
        described = _described(folder)
        if described.pop("mfas_encoder", None) != FORMAT:
            raise ModelError(f"{folder}: not an encoder of this version of mfas; update mfas")
        try:
            trained = bool(described.pop("trained"))
            config = replace(EncoderConfig.from_json(described), **changes)
            encoder = cls(config, role)
            encoder.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except (OSError, SafetensorError, RuntimeError, TypeError, KeyError) as error:
            reason = str(error).replace("\n", " ").strip()[:120]
            raise ModelError(f"{folder}: damaged encoder ({reason}); copy it again") from error
        encoder.trained = trained
        return encoder

    def _count_frames(self, samples_B: Tensor) -> Tensor:
        return (samples_B - self.receptive_field) // self.front.stride + 1

    def _levels(self, waveforms_BN: Tensor, samples_B: Tensor) -> Tensor:
        start = self.front_end(waveforms_BN, samples_B)
        outputs = self.context(start.features_BTD, start.mask_BT)
        chosen = [outputs[layer - 1].hidden_BTD for layer in self.layers]
        return torch.stack(chosen, dim=1).float()

    def _settings(self) -> Mapping[str, Any]:
        return {"config": self.config.to_json(), "layers": self.layers}


def _described(folder: Path) -> dict[str, Any]:
    try:
        return dict(read_json(folder / CONFIG_FILE))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"{folder}: has no {CONFIG_FILE}; name a folder that holds an encoder"
        ) from error
    except (ValueError, TypeError) as error:
        raise ModelError(f"{folder}: {CONFIG_FILE} is not valid JSON; copy it again") from error


def _front(config: EncoderConfig) -> Convolutions | LogMel:
    if config.convolutions is not None:
        return Convolutions(config.convolutions, config.dim)
    assert config.log_mel is not None, "an encoder has one of the two front ends"
    return LogMel(config.log_mel, config.dim)
