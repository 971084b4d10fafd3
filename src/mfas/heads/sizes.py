"""The two sizes of the Co-attention head.

`paper` is Co-attention as published (Zou et al., ICASSP 2022; MFAS section 3): tens of millions of
weights. `compact` is ours (choice): the same flow of data with a small convolutional network in
AlexNet's place and pooling over time instead of flattening, for corpora of a few hundred utterances
and machines without a GPU.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class HeadSize:
    """How large each part of the head is."""

    image: Literal["alexnet", "small"]  # the network over the spectrogram
    lstm_width: int  # per direction
    lstm_layers: int
    lstm_dropout: float
    mfcc_pooling: Literal["flatten", "mean"]
    mfcc_stride: int  # frames of 10 ms averaged into one LSTM step
    mfcc_standard: bool  # bring each coefficient to zero mean, unit variance over the training fold
    code: int  # width of one code of one stream
    dropout: float


SIZES = {
    "paper": HeadSize(
        image="alexnet",
        lstm_width=256,
        lstm_layers=2,
        lstm_dropout=0.5,
        mfcc_pooling="flatten",
        mfcc_stride=1,
        mfcc_standard=False,
        code=128,
        dropout=0.1,
    ),
    "compact": HeadSize(
        image="small",
        lstm_width=64,
        lstm_layers=1,
        lstm_dropout=0.0,
        mfcc_pooling="mean",
        mfcc_stride=3,
        mfcc_standard=True,
        code=64,
        dropout=0.3,
    ),
}
