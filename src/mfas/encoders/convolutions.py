"""A strided convolution over time, fast in training: frames enter and leave, channels last.

It is what `nn.Conv1d` computes, in the memory layout of the layer norm over channels behind it, so
that nothing is transposed between the two. On one core of a CPU with AVX-512, this brought a step of
quantised pretraining of the model of Table 1 to 0.66 of its time in float32 and 0.48 in bf16
(benchmarks/pretrain.py measures the step against transformers' own).

What did not pay there: matrix products over windows instead of the widest convolution (1.7 times its
time in float32, 1.2 to 1.6 in bf16), and layer norm and GELU in bf16 too (0.98 of a step's time, for
coarser results).

Shape legend: B segments, S frames that enter, T frames that leave, I and O channels that enter and
leave, K kernel.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StridedConvolution(nn.Conv1d):
    """`nn.Conv1d` without padding or bias, with the same weights, but channels last."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=False)

    def forward(self, hidden_BSI: Tensor) -> Tensor:
        """(B, S, I) -> (B, T, O)."""
        return convolve(hidden_BSI, self.weight, self.stride[0])


def convolve(hidden_BSI: Tensor, weight_OIK: Tensor, stride: int) -> Tensor:
    """(B, S, I) -> (B, T, O): frame t that leaves sees K frames, from `stride` x t on."""
    if _is_float32_training(hidden_BSI):
        return _Float32Convolution.apply(hidden_BSI, weight_OIK, stride)
    return _convolve(hidden_BSI, weight_OIK, stride)


def _convolve(hidden_BSI: Tensor, weight_OIK: Tensor, stride: int) -> Tensor:
    """With a second, empty dimension: in two dimensions torch knows the layout of channels last."""
    out_BO1T = F.conv2d(_channels_first(hidden_BSI), weight_OIK[:, :, None], stride=(1, stride))
    return _channels_last(out_BO1T)


class _Float32Convolution(torch.autograd.Function):
    """The same with a gradient of the weight as one matrix product.

    For wide inputs in float32, oneDNN (of torch 2.13) needs two to three times as long for it in this
    layout; without, a step of pretraining takes 0.7 to 0.8 of the time. Its bf16 is as fast.
    """

    @staticmethod
    def forward(context: Any, hidden_BSI: Tensor, weight_OIK: Tensor, stride: int) -> Tensor:
        context.save_for_backward(hidden_BSI, weight_OIK)
        context.stride = stride
        return _convolve(hidden_BSI, weight_OIK, stride)

    @staticmethod
    def backward(context: Any, gradient_BTO: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden_BSI, weight_OIK = context.saved_tensors
        kernel, stride = weight_OIK.shape[-1], context.stride
        to_hidden, to_weight = None, None
        if context.needs_input_grad[0]:
            unseen = (hidden_BSI.shape[1] - kernel) % stride  # last frames that no window reaches
            to_hidden = _channels_last(
                F.conv_transpose2d(
                    _channels_first(gradient_BTO),
                    weight_OIK[:, :, None],
                    stride=(1, stride),
                    output_padding=(0, unseen),
                )
            )
        if context.needs_input_grad[1]:
            windows_BTIK = hidden_BSI.unfold(1, kernel, stride)
            to_weight = torch.einsum("bto,btik->oik", gradient_BTO, windows_BTIK)
        return to_hidden, to_weight, None


def _is_float32_training(hidden_BSI: Tensor) -> bool:
    return (
        torch.is_grad_enabled()
        and hidden_BSI.device.type == "cpu"
        and hidden_BSI.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


def _channels_first(values_BTC: Tensor) -> Tensor:
    """(B, T, C) -> (B, C, 1, T), a view."""
    return values_BTC.transpose(1, 2).unsqueeze(2)


def _channels_last(values_BC1T: Tensor) -> Tensor:
    """(B, C, 1, T) -> (B, T, C), a view; indexing instead would fill zeros on its way back."""
    return values_BC1T.squeeze(2).transpose(1, 2)
