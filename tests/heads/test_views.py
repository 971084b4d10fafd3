"""What the view branches do to spectrograms and MFCCs before they look at them."""

import pytest
import torch
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from mfas.heads import SIZES, SpectrogramScale
from mfas.heads.views import IMAGENET_MEAN, IMAGENET_STD, AlexNetBranch, frame_mask


@pytest.fixture(scope="module")
def scale() -> SpectrogramScale:
    """Frequency f reaches from -70 - f / 10 to -10 + f / 100 dB in training."""
    fitted = SpectrogramScale()
    bins = torch.arange(200)
    fitted.fit(-70 - bins / 10, -10 + bins / 100)
    return fitted


@settings(max_examples=30)
@draw(decibels=st.floats(-120, 20), frames=st.integers(1, 300), frequency=st.integers(0, 199))
def test_spectrograms_are_scaled_per_frequency_and_clamped(scale, decibels, frames, frequency):
    scaled_FT = scale(torch.full((1, 200, 300), decibels), torch.tensor([frames]))[0]
    low, high = -70 - frequency / 10, -10 + frequency / 100
    expected = min(1.0, max(0.0, (decibels - low) / (high - low)))
    torch.testing.assert_close(scaled_FT[frequency, :frames], torch.full((frames,), expected))
    assert not scaled_FT[:, frames:].any()
    assert scaled_FT.min() >= 0
    assert scaled_FT.max() <= 1


def test_without_a_fold_the_whole_dynamic_range_counts():
    scaled = SpectrogramScale()(torch.tensor([[-80.0, -40, 0]] * 200)[None], torch.tensor([3]))
    assert scaled[0, 7].tolist() == [0, 0.5, 1]


def test_a_frequency_that_never_changed_in_training_gives_numbers():
    fitted = SpectrogramScale()
    fitted.fit(torch.full((200,), -80.0), torch.full((200,), -80.0))
    scaled = fitted(torch.tensor([[-80.0, -20]] * 200)[None], torch.tensor([2]))
    assert scaled[0, 0].tolist() == [0, 1]


def test_extremes_are_saved_with_the_weights(scale):
    other = SpectrogramScale()
    other.load_state_dict(scale.state_dict())
    spectrogram_BFT = -60 * torch.rand(1, 200, 300, generator=torch.Generator().manual_seed(0))
    frames_B = torch.tensor([300])
    assert torch.equal(other(spectrogram_BFT, frames_B), scale(spectrogram_BFT, frames_B))


def test_alexnet_sees_three_equal_channels_of_256_by_384():
    branch = AlexNetBranch(8, 0.1).eval()
    images = []
    branch.alexnet.register_forward_hook(lambda module, inputs, output: images.append(inputs[0]))
    scaled_BFT = torch.rand(2, 200, 300, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        branch(scaled_BFT, torch.tensor([300, 300]))
    assert images[0].shape == (2, 3, 256, 384)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    image_B3HW = images[0] * std + mean
    torch.testing.assert_close(image_B3HW[:, 0], image_B3HW[:, 2])
    assert image_B3HW.min() >= -1e-6
    assert image_B3HW.max() <= 1 + 1e-6
    whole = image_B3HW[:, 0].mean(dim=(1, 2))
    torch.testing.assert_close(whole, scaled_BFT.mean(dim=(1, 2)), atol=5e-3, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_mfccs_count_by_their_direction_alone(size, head, given):
    branch = head(size, 1).mfcc
    batch = given([300, 120], 1)
    louder_BVC = batch.mfcc_BVC * torch.linspace(0.5, 20, 300)[:, None]
    with torch.no_grad():
        expected = branch(batch.mfcc_BVC, batch.frames_B)
        torch.testing.assert_close(branch(louder_BVC, batch.frames_B), expected)


def test_frame_mask():
    mask_BT = frame_mask(torch.tensor([0, 2, 9]), 4)
    assert mask_BT.tolist() == [[False] * 4, [True, True, False, False], [True] * 4]
