"""Our encoders survive an export, where groups of equal length cannot be formed."""

import pytest
import torch

from mfas.encoders import Frames


class AsTensor(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, waveforms_BN, samples_B):
        frames: Frames = self.encoder(waveforms_BN, samples_B)
        return frames.hidden_BLTD


@pytest.mark.parametrize("kind", ["compact", "table1"])
def test_an_exported_encoder_gives_the_same_frames(kind, make_encoder, noise):
    model = AsTensor(make_encoder(kind).freeze())
    batch = {0: torch.export.Dim("B", min=1, max=64)}
    exported = torch.export.export(
        model, noise([48_000, 20_000]), dynamic_shapes=(batch, batch), strict=False
    )
    other = noise([48_000, 7_000, 300], seed=1)
    torch.testing.assert_close(exported.module()(*other), model(*other), atol=5e-5, rtol=0)
