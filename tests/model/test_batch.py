"""Segments that follow each other become windows: their real frames, one after the other."""

import pytest
import torch
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from mfas.encoders import Frames
from mfas.model import Batch, build_model, joined
from mfas.model.batch import join

LEVELS, FRAMES, DIM = 3, 6, 2


def stored(counts: list[int], seed: int = 0) -> Frames:
    """Segments with that many real frames, garbage behind."""
    generator = torch.Generator().manual_seed(seed)
    hidden_BLTD = torch.randn(len(counts), LEVELS, FRAMES, DIM, generator=generator)
    return Frames(hidden_BLTD, torch.arange(FRAMES) < torch.tensor(counts)[:, None])


@settings(max_examples=40)
@draw(
    windows=st.integers(1, 4), segments=st.integers(1, 5), last=st.integers(1, FRAMES),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_a_window_is_the_real_frames_of_its_segments(windows, segments, last, seed):
    frames = stored(([FRAMES] * (segments - 1) + [last]) * windows, seed)
    window = join(frames, segments)
    assert window.hidden_BLTD.shape == (windows, LEVELS, segments * FRAMES, DIM)
    for row in range(windows):
        own = slice(row * segments, (row + 1) * segments)
        expected_LTD = torch.cat(
            [
                hidden_LTD[:, mask_T]
                for hidden_LTD, mask_T in zip(
                    frames.hidden_BLTD[own], frames.mask_BT[own], strict=True
                )
            ],
            dim=1,
        )
        real = expected_LTD.shape[1]
        assert torch.equal(window.hidden_BLTD[row, :, :real], expected_LTD), "real frames first"
        assert window.mask_BT[row].tolist() == [True] * real + [False] * (segments * FRAMES - real)


def test_a_batch_is_joined_whole_and_keeps_no_views():
    sec, tec = stored([FRAMES, FRAMES, 2]), stored([FRAMES, FRAMES, 2], seed=1)
    window = joined(Batch(sec=sec, tec=tec, samples_B=torch.tensor([3, 3, 1])))
    assert window.sec.hidden_BLTD.shape == (1, LEVELS, 3 * FRAMES, DIM)
    assert torch.equal(window.tec.hidden_BLTD, join(tec, 3).hidden_BLTD)
    assert window.real_frames().tolist() == [2 * FRAMES + 2]
    assert {name for name, value in vars(window).items() if value is not None} == {"sec", "tec"}


@pytest.mark.parametrize("stream", ["sec", "tec"])
def test_one_stream_is_joined_alone(stream):
    window = joined(Batch(**{stream: stored([FRAMES, 1])}))
    assert window.real_frames().tolist() == [FRAMES + 1]
    assert getattr(window, "tec" if stream == "sec" else "sec") is None


def test_frames_are_counted_where_there_are_some():
    assert Batch(sec=stored([6, 3]), tec=stored([6, 3])).real_frames().tolist() == [6, 3]
    with pytest.raises(AssertionError, match="nothing was encoded before"):
        Batch(samples_B=torch.tensor([1])).real_frames()


def test_windows_alone_are_not_enough_for_coattention_and_are_for_a_ridge(encoder, recipe, batch):
    """A closed-form head needs no views; `streams` are the three levels and x'."""
    closed = recipe(
        head={"kind": "ridge"}, fusion={"strategy": "none"}, search={"method": "exhaustive"}
    )
    model = build_model(closed, encoder("sec"), encoder("tec"), 3, None, seed=0).eval()
    assert model.head.context_segments == 4
    with torch.no_grad():
        encoded = Batch(sec=model.encoded("sec", batch), tec=model.encoded("tec", batch))
        window = joined(encoded)
        streams, masks = model.streams(window)
    assert [stream.shape[1] for stream in streams] == [window.sec.hidden_BLTD.shape[2]] * 4
    for index in range(3):
        assert torch.equal(streams[index], window.sec.hidden_BLTD[:, index])
    assert torch.equal(streams[3], window.tec.hidden_BLTD[:, -1])
    assert all(mask.sum() == window.real_frames()[0] for mask in masks)
