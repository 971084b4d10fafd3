"""Co-attention with one and two streams: class log-probabilities that padding never changes."""

from dataclasses import replace

import pytest
import torch

from mfas.heads import SIZES, CoAttention

each_head = pytest.mark.parametrize(
    ("size", "streams"), [(size, streams) for size in SIZES for streams in (1, 2)]
)
FRAMES = [300, 57, 1]


@each_head
def test_log_probabilities(size, streams, head, given):
    with torch.no_grad():
        log_probabilities_BK = head(size, streams)(*given(FRAMES, streams))
    assert log_probabilities_BK.shape == (3, 5)
    assert log_probabilities_BK.dtype == torch.float32
    torch.testing.assert_close(log_probabilities_BK.exp().sum(dim=1), torch.ones(3))
    assert (log_probabilities_BK[0] != log_probabilities_BK[1]).all()


@each_head
def test_what_lies_behind_the_end_is_never_seen(size, streams, head, given):
    clean = given(FRAMES, streams)
    behind_BV = torch.arange(300) >= clean.frames_B.unsqueeze(-1)
    dirty = replace(
        clean,
        spectrogram_BFV=clean.spectrogram_BFV + 1e3 * behind_BV.unsqueeze(1),
        mfcc_BVC=clean.mfcc_BVC - 1e3 * behind_BV.unsqueeze(2),
        streams_BTD=[
            stream_BTD + 1e3 * ~mask_BT.unsqueeze(2)
            for stream_BTD, mask_BT in zip(clean.streams_BTD, clean.masks_BT, strict=True)
        ],
    )
    with torch.no_grad():
        assert torch.equal(head(size, streams)(*dirty), head(size, streams)(*clean))


@each_head
def test_a_segment_alone_gets_what_it_gets_in_a_batch(size, streams, head, given):
    batch = given(FRAMES, streams)
    with torch.no_grad():
        together_BK = head(size, streams)(*batch)
        for i in range(len(FRAMES)):
            alone_BK = head(size, streams)(*batch.rows(slice(i, i + 1)))
            torch.testing.assert_close(alone_BK[0], together_BK[i], atol=1e-5, rtol=0)


@each_head
def test_every_input_counts(size, streams, head, given):
    batch = given([300, 200], streams)
    variants = [
        replace(batch, spectrogram_BFV=batch.spectrogram_BFV.flip(1)),
        replace(batch, mfcc_BVC=batch.mfcc_BVC.flip(2)),
        *(
            replace(
                batch, streams_BTD=[-x if i == s else x for i, x in enumerate(batch.streams_BTD)]
            )
            for s in range(streams)
        ),
    ]
    with torch.no_grad():
        usual_BK = head(size, streams)(*batch)
        for variant in variants:
            assert not torch.allclose(head(size, streams)(*variant), usual_BK, atol=1e-6)


@each_head
def test_gradients_reach_every_weight(size, streams, given):
    torch.manual_seed(0)
    trained = CoAttention(5, 24, 149, streams, SIZES[size]).train()
    batch = given([300] * 4, streams)
    torch.nn.functional.nll_loss(trained(*batch), torch.arange(4)).backward()
    unreached = [
        name
        for name, parameter in trained.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert unreached == []


@each_head
def test_each_stream_is_weighed_by_its_half_of_both_views(size, streams, head, given):
    chosen = head(size, streams)
    codes, weighed_by = {}, []
    hooks = [
        chosen.image.register_forward_hook(lambda m, i, out: codes.update(image=out)),
        chosen.mfcc.register_forward_hook(lambda m, i, out: codes.update(mfcc=out)),
        *(
            attend.register_forward_hook(lambda m, inputs, out: weighed_by.append(inputs[0]))
            for attend in chosen.attend
        ),
    ]
    with torch.no_grad():
        chosen(*given([300, 57], streams))
    for hook in hooks:
        hook.remove()
    code = SIZES[size].code
    assert codes["image"].shape == codes["mfcc"].shape == (2, streams * code)
    assert len(weighed_by) == streams
    for s, views_BK in enumerate(weighed_by):
        half = slice(s * code, (s + 1) * code)
        expected = torch.cat([codes["image"][:, half], codes["mfcc"][:, half]], dim=1)
        assert torch.equal(views_BK, expected)


def test_the_attention_is_one_weight_per_frame_by_hand(head):
    attend = head("paper", 2).attend[1]
    generator = torch.Generator().manual_seed(0)
    views_BK = torch.rand(2, 256, generator=generator)
    frames_BTD = torch.randn(2, 149, 24, generator=generator)
    mask_BT = torch.arange(149) < torch.tensor([[149], [20]])
    weigh, project = attend.weigh[1], attend.project[1]
    with torch.no_grad():
        weights_BT = (views_BK @ weigh.weight.T + weigh.bias).relu() * mask_BT
        gathered_BD = (weights_BT.unsqueeze(2) * frames_BTD).sum(dim=1)
        expected = (gathered_BD @ project.weight.T + project.bias).relu()
        torch.testing.assert_close(attend(views_BK, frames_BTD, mask_BT), expected)


@pytest.mark.parametrize(("streams", "classifier_sees"), [(1, 128 * 3), (2, 256 + 256 + 128 + 128)])
def test_the_papers_widths(streams, classifier_sees, head):
    paper = head("paper", streams)
    width = 128 * streams
    assert [(m.in_features, m.out_features) for m in paper.classify if hasattr(m, "weight")] == [
        (classifier_sees, 128),
        (128, 128),
        (128, 5),
    ]
    assert paper.image.project[1].weight.shape == (width, 9_216)
    assert paper.mfcc.project[1].weight.shape == (width, 300 * 512)
    lstm = paper.mfcc.lstm
    assert (lstm.hidden_size, lstm.num_layers, lstm.bidirectional) == (256, 2, True)
    assert lstm.dropout == 0.5
    for attend in paper.attend:
        assert attend.weigh[1].weight.shape == (149, 256)
        assert attend.project[1].weight.shape == (128, 24)


def test_compact_is_a_small_part_of_paper(head):
    sizes = {size: sum(p.numel() for p in head(size, 2).parameters()) for size in SIZES}
    assert sizes["compact"] < sizes["paper"] / 20
