"""Waveforms become 50 feature frames a second: the two front ends of our own encoders.

`Convolutions` is Table 1 of MFAS (arXiv 2306.09361, section 4), which is the feature encoder of
wav2vec 2.0 (arXiv 2006.11477) with a layer norm over channels in every layer: a norm over time, as
in wav2vec2-base, would let padding change results. `LogMel` is a choice for small machines. Both
give 149 frames for 3 seconds, and a frame depends on the samples below it alone.

Shape legend: B segments, N samples, T encoder frames, D width, C channels, M mel frames of 10 ms,
F frequency bins, W window samples.
"""

import numpy as np
import torch
from librosa.filters import mel
from torch import Tensor, nn
from torch.nn import functional as F

from mfas.audio import HOP_SAMPLES, RATE_HZ
from mfas.encoders.convolutions import StridedConvolution
from mfas.encoders.settings import ConvolutionSettings, LogMelSettings

WINDOW_SAMPLES = 400  # 25 ms
STACK = 2  # mel frames in one encoder frame


class Convolutions(nn.Module):
    """A stack of strided convolutions on the raw waveform, then a linear projection to D.

    Each segment is first brought to zero mean and unit variance over its real samples.
    """

    def __init__(self, settings: ConvolutionSettings, dim: int) -> None:
        super().__init__()
        channels = settings.channels
        inputs = [1] + [channels] * (len(settings.kernels) - 1)
        self.convolutions = nn.ModuleList(
            StridedConvolution(c, channels, kernel, stride)
            for c, kernel, stride in zip(inputs, settings.kernels, settings.strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in settings.kernels)
        self.norm = nn.LayerNorm(channels)
        self.projection = nn.Linear(channels, dim)
        self.receptive_field = 1
        for kernel, stride in zip(settings.kernels[::-1], settings.strides[::-1], strict=True):
            self.receptive_field = (self.receptive_field - 1) * stride + kernel
        self.stride = int(np.prod(settings.strides))

    def forward(self, waveforms_BN: Tensor, samples_B: Tensor) -> Tensor:
        """(B, N) -> (B, T, D)."""
        hidden_BTC = standardised(waveforms_BN, samples_B)[..., None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden_BTC = F.gelu(norm(convolution(hidden_BTC)))
        return self.projection(self.norm(hidden_BTC))


class LogMel(nn.Module):
    """Log-mel frames of 25 ms every 10 ms, without centring, two stacked, projected to D.

    A fixed affine map standardises the log-mel, so loudness stays in. The windowed Fourier
    transform is one matrix product, which runs and exports everywhere.
    """

    fourier_WF: Tensor
    mel_FF: Tensor

    def __init__(self, settings: LogMelSettings, dim: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("fourier_WF", _windowed_fourier(), persistent=False)
        self.register_buffer("mel_FF", _mel_filters(settings.bins), persistent=False)
        self.projection = nn.Linear(STACK * settings.bins, dim)
        self.stride = STACK * HOP_SAMPLES
        self.receptive_field = WINDOW_SAMPLES + (STACK - 1) * HOP_SAMPLES

    def forward(self, waveforms_BN: Tensor, samples_B: Tensor) -> Tensor:
        """(B, N) -> (B, T, D)."""
        return self.project(self.log_mel(waveforms_BN))

    def inputs(self, waveforms_BN: Tensor) -> Tensor:
        """(B, N) -> what the projection takes: stacked log-mel, float32 (B, T, 2 bins)."""
        return self.stacked(self.log_mel(waveforms_BN))

    def project(self, log_mel_BMF: Tensor) -> Tensor:
        """Standardised log-mel (B, M, bins) -> (B, T, D)."""
        return self.projection(self.stacked(log_mel_BMF))

    @staticmethod
    def stacked(log_mel_BMF: Tensor) -> Tensor:
        """(B, M, bins) -> (B, T, 2 bins): two frames beside each other; an odd last one is left out."""
        frames = log_mel_BMF.shape[1] // STACK
        return log_mel_BMF[:, : frames * STACK].unflatten(1, (-1, STACK)).flatten(2)

    def log_mel(self, waveforms_BN: Tensor) -> Tensor:
        """(B, N) -> standardised log-mel (B, M, bins), always in float32."""
        with torch.autocast(waveforms_BN.device.type, enabled=False):
            windows_BMW = waveforms_BN.float().unfold(1, WINDOW_SAMPLES, HOP_SAMPLES)
            real_BMF, imaginary_BMF = (windows_BMW @ self.fourier_WF).chunk(2, dim=-1)
            mel_BMF = (real_BMF.square() + imaginary_BMF.square()) @ self.mel_FF
            log_mel_BMF = (mel_BMF + self.settings.floor).log()
            return (log_mel_BMF - self.settings.mean) / self.settings.std


def standardised(waveforms_BN: Tensor, samples_B: Tensor) -> Tensor:
    """Zero mean and unit variance over the real samples, exactly 0 behind them.

    This is what the feature extractors of wav2vec 2.0 do, one segment at a time.
    """
    real_BN = torch.arange(waveforms_BN.shape[1], device=waveforms_BN.device) < samples_B[:, None]
    mean_B1 = (waveforms_BN * real_BN).sum(1, keepdim=True) / samples_B[:, None]
    centred_BN = (waveforms_BN - mean_B1) * real_BN
    variance_B1 = centred_BN.square().sum(1, keepdim=True) / samples_B[:, None]
    return centred_BN / (variance_B1 + 1e-7).sqrt()


def _windowed_fourier() -> Tensor:
    """Hann window and real Fourier transform as one matrix: (400, 201 cosines + 201 sines)."""
    window_W = np.hanning(WINDOW_SAMPLES + 1)[:-1]
    times_W, bins_F = np.arange(WINDOW_SAMPLES), np.arange(WINDOW_SAMPLES // 2 + 1)
    angles_WF = 2 * np.pi / WINDOW_SAMPLES * (np.outer(times_W, bins_F) % WINDOW_SAMPLES)
    matrix_WF = np.concatenate([np.cos(angles_WF), np.sin(angles_WF)], axis=1) * window_W[:, None]
    return torch.from_numpy(matrix_WF.astype(np.float32))


def _mel_filters(bins: int) -> Tensor:
    """Slaney mel filters of librosa, float32 (201, bins)."""
    filters = mel(sr=RATE_HZ, n_fft=WINDOW_SAMPLES, n_mels=bins, dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(filters.T))
