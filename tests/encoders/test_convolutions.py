"""The convolutional front end computes what `nn.Conv1d` and transposes compute, gradients included."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mfas.encoders import Convolutions, ConvolutionSettings
from mfas.encoders.convolutions import convolve
from mfas.encoders.front_ends import standardised


def as_conv1d(front, waveforms_BN, samples_B):
    """The front end as one would write it down."""
    hidden_BCT = standardised(waveforms_BN, samples_B)[:, None]
    for convolution, norm in zip(front.convolutions, front.norms, strict=True):
        hidden_BCT = F.conv1d(hidden_BCT, convolution.weight, stride=convolution.stride)
        hidden_BCT = F.gelu(norm(hidden_BCT.transpose(1, 2)).transpose(1, 2))
    return front.projection(front.norm(hidden_BCT.transpose(1, 2)))


def with_gradients(front, compute, waveforms_BN, samples_B):
    waveforms_BN = waveforms_BN.clone().requires_grad_()
    front.zero_grad()
    out_BTD = compute(waveforms_BN, samples_B)
    weights_BTD = torch.randn(out_BTD.shape, generator=torch.Generator().manual_seed(1))
    (out_BTD.float() * weights_BTD).sum().backward()
    gradients = {name: parameter.grad for name, parameter in front.named_parameters()}
    return {"out": out_BTD.detach(), "waveforms": waveforms_BN.grad, **gradients}


@pytest.fixture
def front():
    torch.manual_seed(0)
    return Convolutions(ConvolutionSettings(channels=32), dim=16)


@pytest.mark.parametrize("samples", [400, 9_999, 16_003])
def test_the_front_end_and_its_gradients_are_those_of_conv1d(front, samples, noise):
    waveforms_BN, samples_B = noise([samples, 400])
    given = waveforms_BN[:, :samples], samples_B
    ours = with_gradients(front, front, *given)
    theirs = with_gradients(front, lambda *given: as_conv1d(front, *given), *given)
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(ours[name], expected, atol=2e-5 * scale, rtol=0, msg=name)


def test_bf16_is_as_close_to_float32_as_with_conv1d(front, noise):
    waveforms_BN, samples_B = noise([16_000, 16_000])
    given = waveforms_BN[:, :16_000], samples_B
    exact = with_gradients(front, front, *given)
    with torch.autocast("cpu", torch.bfloat16):
        ours = with_gradients(front, front, *given)
        theirs = with_gradients(front, lambda *given: as_conv1d(front, *given), *given)
    assert ours["out"].dtype == theirs["out"].dtype
    for name, expected in exact.items():
        error, their_error = (
            float((values[name].float() - expected).norm()) for values in (ours, theirs)
        )
        assert error <= 1.2 * their_error + 1e-6, name


@pytest.mark.parametrize(("kernel", "stride"), [(10, 5), (3, 2), (2, 2), (1, 1), (2, 3)])
@pytest.mark.parametrize("channels", [1, 4])
def test_any_kernel_and_stride_with_gradients_of_gradients(kernel, stride, channels):
    generator = torch.Generator().manual_seed(0)
    hidden_BSI = torch.randn(2, 23, channels, generator=generator).requires_grad_()
    weight_OIK = torch.randn(6, channels, kernel, generator=generator).requires_grad_()
    expected_BOT = F.conv1d(hidden_BSI.transpose(1, 2), weight_OIK, stride=stride)
    expected = expected_BOT.transpose(1, 2)
    out = convolve(hidden_BSI, weight_OIK, stride)
    torch.testing.assert_close(out, expected)
    inputs = hidden_BSI, weight_OIK
    for one, other in zip(penalties(out, inputs), penalties(expected, inputs), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def penalties(out, inputs):
    """Gradients, and the gradients of their squared norm."""
    first = torch.autograd.grad(out.square().sum(), inputs, create_graph=True)
    penalty = sum(gradient.square().sum() for gradient in first)
    return *first, *torch.autograd.grad(penalty, inputs)


def test_weights_are_saved_under_the_names_and_in_the_shapes_of_conv1d(front):
    state = front.state_dict()
    assert isinstance(front.convolutions[0], nn.Conv1d)
    assert state["convolutions.0.weight"].shape == (32, 1, 10)
    assert state["convolutions.4.weight"].shape == (32, 32, 3)


def test_training_and_inference_give_the_same_frames(front, noise):
    given = noise([48_000, 20_000])
    with torch.no_grad():
        expected_BTD = front(*given)
    assert torch.equal(front(*given), expected_BTD)
