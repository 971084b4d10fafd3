"""The shape of our own encoders, as it is written to config.json.

`TABLE1` is Table 1 of MFAS (arXiv 2306.09361, section 4), 19.2 M weights. `COMPACT` is a choice for
machines without a GPU, 3.3 M weights.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ConvolutionSettings:
    """Strided convolutions on the waveform; one frame sees 400 samples, frames are 320 apart."""

    channels: int = 512
    strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)


@dataclass(frozen=True)
class LogMelSettings:
    """Log-mel energies ln(mel + floor), brought to (ln - mean) / std by constants.

    The constants are rounded means over EMO-DB (-8.0, 3.9), LJSpeech (-9.2, 3.7) and
    speechocean762 (-9.9, 3.5).
    """

    bins: int = 80
    floor: float = 1e-6
    mean: float = -9.0
    std: float = 3.7


@dataclass(frozen=True)
class EncoderConfig:
    """A front end (exactly one of `convolutions` and `log_mel`) and transformer layers.

    dim: width. depth: layers. ffn: width inside the feed-forward part. position_kernel: frames
    that the convolutional position embedding sees. dropout: while training.
    """

    name: str
    dim: int
    depth: int
    heads: int
    ffn: int
    position_kernel: int
    position_groups: int = 16
    dropout: float = 0.1
    convolutions: ConvolutionSettings | None = None
    log_mel: LogMelSettings | None = None

    def to_json(self) -> dict[str, Any]:
        """As nested dicts and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "EncoderConfig":
        """The inverse of `to_json`; raises TypeError for unknown or missing keys."""
        values = dict(values)
        if values.get("convolutions") is not None:
            lists = dict(values["convolutions"])
            lists = {key: tuple(v) if isinstance(v, list) else v for key, v in lists.items()}
            values["convolutions"] = ConvolutionSettings(**lists)
        if values.get("log_mel") is not None:
            values["log_mel"] = LogMelSettings(**values["log_mel"])
        return cls(**values)


TABLE1 = EncoderConfig(
    name="table1",
    dim=512,
    depth=4,
    heads=8,
    ffn=2048,
    position_kernel=128,
    convolutions=ConvolutionSettings(),
)
COMPACT = EncoderConfig(
    name="compact",
    dim=256,
    depth=4,
    heads=4,
    ffn=1024,
    position_kernel=31,
    log_mel=LogMelSettings(),
)
