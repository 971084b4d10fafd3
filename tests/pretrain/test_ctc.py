"""CTC against all alignments, padding, SpecAugment, two processes, learning, and saved heads."""

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mfas.config import CtcSection
from mfas.encoders import COMPACT, TABLE1, ConvolutionSettings, EncoderConfig, TransformerEncoder
from mfas.errors import ModelError
from mfas.pretrain import ctc
from mfas.pretrain.ctc import CtcObjective, count_frames, fits, load_transcriber
from mfas.pretrain.objective import SpeechBatch
from mfas.pretrain.transcripts import encode

TINY = {"dim": 16, "ffn": 32, "heads": 2, "depth": 3, "position_groups": 4, "dropout": 0.0}
CONFIGS = {
    "compact": replace(COMPACT, **TINY),
    "table1": replace(TABLE1, **TINY, convolutions=ConvolutionSettings(channels=16)),
}
FRONTS = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
FIELD = {name: TransformerEncoder(config).receptive_field for name, config in CONFIGS.items()}
TONES_HZ = {"A": 400, "B": 900, "C": 1800, "T": 3500}


def objective_of(config: EncoderConfig, **settings: float) -> CtcObjective:
    section = CtcSection.model_validate(settings)
    return CtcObjective(TransformerEncoder(config, "tec", seed=1), section, seed=2)


def batch_of(samples: list[int], texts: tuple[str, ...], seed: int = 0) -> SpeechBatch:
    """Rows of noise, behind their ends too."""
    generator = torch.Generator().manual_seed(seed)
    waveforms_BN = 0.1 * torch.randn(len(samples), max(samples), generator=generator)
    return SpeechBatch(waveforms_BN, torch.tensor(samples), texts, 0, len(samples))


def rows_of(batch: SpeechBatch, first: int, last: int) -> SpeechBatch:
    """Rows first to last of `batch`, as the process that holds them gets them."""
    samples_B = batch.samples_B[first:last]
    waveforms_BN = batch.waveforms_BN[first:last, : int(samples_B.max())]
    return SpeechBatch(waveforms_BN, samples_B, batch.texts[first:last], first, batch.all_rows)


def run(objective: CtcObjective, batch: SpeechBatch, seed: int = 0) -> dict[str, Tensor]:
    output = objective(batch, 0.5, torch.Generator().manual_seed(seed))
    return {"loss": output.loss, **output.measures}


def tones(text: str) -> np.ndarray:
    """200 ms of each letter's tone, with gaps of 60 ms."""
    seconds = np.arange(3200) / 16_000
    sung = [np.pad(0.3 * np.sin(2 * np.pi * TONES_HZ[c] * seconds), (480, 480)) for c in text]
    return np.concatenate(sung).astype(np.float32)


@FRONTS
@pytest.mark.parametrize("text", ["AB", "AA", "A"])
def test_loss_is_the_sum_over_all_alignments(config: EncoderConfig, text: str) -> None:
    objective = objective_of(config).eval()
    batch = batch_of([objective.encoder.receptive_field + 3 * 320], (text,))
    start = objective.encoder.front_end(batch.waveforms_BN, batch.samples_B)
    hidden_TD = objective.encoder.context(start.features_BTD, start.mask_BT)[-1].hidden_BTD[0]
    chances_TK = objective.head.linear(hidden_TD).softmax(-1).tolist()
    assert len(chances_TK) == 4
    total = 0.0
    for path in product({0, *encode(text)}, repeat=4):
        if [number for number, _ in groupby(path) if number] == encode(text):
            total += float(np.prod([chances_TK[t][number] for t, number in enumerate(path)]))
    measured = run(objective, batch)
    assert measured["loss"].item() == pytest.approx(-np.log(total) / len(text), rel=1e-5)
    assert torch.equal(measured["ctc"], measured["loss"])
    assert not measured["ctc"].requires_grad


def test_blank_share_counts_real_frames() -> None:
    objective = objective_of(CONFIGS["compact"]).eval()
    batch = batch_of([16_000, 9_000], ("A", "B"))
    for blank, share in ((50.0, 1.0), (-50.0, 0.0)):
        with torch.no_grad():
            objective.head.linear.bias[0] = blank
        assert run(objective, batch)["blank_share"] == share


@pytest.mark.parametrize(
    ("text", "frames"), [("a", 1), ("Ab c!", 4), ("aa", 3), ("'twas aaah", 12), ("hello", 6)]
)
def test_a_text_fits_when_its_frames_suffice(text: str, frames: int) -> None:
    assert fits(text, frames)
    assert fits(text, frames + 1)
    assert not fits(text, frames - 1)
    for count, finite in ((frames, True), (frames - 1, False)):
        if count:
            batch = batch_of([FIELD["compact"] + (count - 1) * 320], (text,))
            assert run(objective_of(CONFIGS["compact"]).eval(), batch)["loss"].isfinite() == finite


@pytest.mark.parametrize("text", ["", "12 ?"])
def test_a_text_without_letters_never_fits(text: str) -> None:
    assert not fits(text, 100)


@FRONTS
@given(samples=st.integers(1, 100_000))
def test_count_frames_is_what_the_front_end_gives(config: EncoderConfig, samples: int) -> None:
    encoder = TransformerEncoder(config)
    mask_BT = encoder.front_end(torch.zeros(1, 101_000), torch.tensor([samples])).mask_BT
    assert count_frames(encoder, torch.tensor([samples])).tolist() == mask_BT.sum(1).tolist()


@FRONTS
def test_padding_changes_neither_loss_nor_transcript(config: EncoderConfig) -> None:
    objective = objective_of(config).eval()
    batch = batch_of([16_000, 9_500], ("SOME WORDS", "FEW"))
    alone = [rows_of(batch, row, row + 1) for row in range(2)]
    summed = sum(run(objective, one)["loss"] * len(one.texts[0]) for one in alone)
    torch.testing.assert_close(run(objective, batch)["loss"], summed / 13)
    together = objective.transcribe(batch)
    assert together == [objective.transcribe(one)[0] for one in alone]
    assert any(together)


@FRONTS
def test_transcribe_evaluates_and_goes_back(config: EncoderConfig) -> None:
    objective = objective_of(replace(config, dropout=0.5)).train()
    batch = batch_of([16_000, 12_000], ())
    transcripts = objective.transcribe(batch)
    assert objective.training
    assert objective.encoder.blocks[0].training
    assert transcripts == objective.eval().transcribe(batch)
    assert not objective.training


@given(
    samples=st.lists(st.integers(600, 60_000), min_size=1, max_size=3),
    masks=st.integers(0, 4),
    longest=st.integers(1, 40),
    time_share=st.floats(0, 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_spec_augment_hides_no_more_than_it_may(
    samples: list[int], masks: int, longest: int, time_share: float, share: float, seed: int
) -> None:
    objective = objective_of(
        CONFIGS["compact"],
        time_masks=masks,
        time_mask_frames=longest,
        time_mask_share=time_share,
        feature_masks=masks,
        feature_mask_share=share,
    )
    batch = batch_of(samples, ("A",) * len(samples))
    frames_B = count_frames(objective.encoder, batch.samples_B)
    shape = (int(frames_B.max()) + 2, 80)
    hidden_BTF = objective._hidden(batch, frames_B, shape, torch.Generator().manual_seed(seed))
    for hidden_TF, frames in zip(hidden_BTF, frames_B.tolist(), strict=True):
        time_T, feature_F = hidden_TF[:, ~hidden_TF[-1]].any(1), hidden_TF[-1]
        assert not time_T[frames:].any()  # behind the end only bands are hidden
        assert feature_F.sum() <= masks * int(share * 80)
        assert time_T.sum() <= min(masks * longest, time_share * frames + 1e-3)


def test_spec_augment_reaches_its_largest_widths_and_every_place() -> None:
    objective = objective_of(
        CONFIGS["compact"],
        time_masks=1,
        time_mask_frames=4,
        feature_masks=1,
        feature_mask_share=0.1,
    )
    batch = replace(batch_of([16_000], ("A",)), all_rows=1)
    generator = torch.Generator().manual_seed(0)
    frames_B = torch.tensor([49])
    drawn = [objective._hidden(batch, frames_B, (49, 80), generator)[0] for _ in range(1000)]
    assert {int(hidden_TF.all(1).sum()) for hidden_TF in drawn} == {0, 1, 2, 3, 4}
    assert {int(hidden_TF.all(0).sum()) for hidden_TF in drawn} == set(range(9))
    assert torch.stack([hidden_TF.all(1) for hidden_TF in drawn]).any(0).all()
    assert torch.stack([hidden_TF.all(0) for hidden_TF in drawn]).any(0).all()


@FRONTS
def test_spec_augment_hides_in_training_alone_and_follows_its_seed(config: EncoderConfig) -> None:
    objective = objective_of(config)
    batch = batch_of([32_000, 20_000], ("A", "B"))
    plain = objective._plain(batch)
    hidden = objective._augmented(batch, torch.Generator().manual_seed(3))
    again = objective._augmented(batch, torch.Generator().manual_seed(3))
    other = objective._augmented(batch, torch.Generator().manual_seed(4))
    assert torch.equal(hidden.features_BTD, again.features_BTD)
    assert not torch.equal(hidden.features_BTD, other.features_BTD)
    assert torch.equal(hidden.mask_BT, plain.mask_BT)
    losses = [run(objective, batch, seed)["loss"] for seed in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]
    objective.eval()
    assert run(objective, batch, 3)["loss"] == run(objective, batch, 4)["loss"]


@FRONTS
def test_spec_augment_without_masks_leaves_features_alone(config: EncoderConfig) -> None:
    objective = objective_of(config, time_masks=0, feature_masks=0)
    batch = batch_of([16_170, 9_000], ("A", "B"))
    plain, augmented = objective._plain(batch), objective._augmented(batch, torch.Generator())
    assert torch.equal(augmented.features_BTD, plain.features_BTD)


def test_hidden_log_mel_is_the_mean_before_the_projection() -> None:
    objective = objective_of(
        CONFIGS["compact"], time_masks=0, feature_masks=1, feature_mask_share=1
    )
    batch, front = batch_of([8_000], ("A",)), objective.encoder.front
    hidden_BTF = objective._hidden(
        batch, torch.tensor([24]), (24, 80), torch.Generator().manual_seed(1)
    )
    bands_F = ~hidden_BTF[0, 0]
    assert 0 < bands_F.sum() < 80
    expected_BTD = front.project(front.log_mel(batch.waveforms_BN) * bands_F)
    augmented = objective._augmented(batch, torch.Generator().manual_seed(1))
    torch.testing.assert_close(augmented.features_BTD, expected_BTD)


def test_two_views_must_agree() -> None:
    """The loss of both views together, by hand, from what each of them is classified as."""
    objective = objective_of(CONFIGS["compact"], consistency=0.3, time_masks=3).train()
    batch = batch_of([16_000, 9_500], ("SOME WORDS", "FEW"))
    generator = torch.Generator().manual_seed(5)
    views = [objective._augmented(batch, generator) for _ in range(2)]
    one_BTK, other_BTK = (objective._classify(view).detach().double() for view in views)
    disagreement = 0.0
    for row, frames in enumerate(views[0].mask_BT.sum(1).tolist()):
        for fixed_BTK, view_BTK in ((one_BTK, other_BTK), (other_BTK, one_BTK)):
            fixed_TK, view_TK = fixed_BTK[row, :frames], view_BTK[row, :frames]
            disagreement += float((fixed_TK.exp() * (fixed_TK - view_TK)).sum()) / 2 / 13
    measured = run(objective, batch, 5)
    assert disagreement > 0.001
    assert measured["disagreement"].item() == pytest.approx(disagreement, rel=1e-3)
    single = objective_of(CONFIGS["compact"], time_masks=3)
    single.load_state_dict(objective.state_dict())
    one_after_the_other = iter(views)
    single._augmented = lambda *_: next(one_after_the_other)  # type: ignore[method-assign]
    ctc_mean = sum(run(single.train(), batch)["ctc"] for _ in range(2)) / 2
    torch.testing.assert_close(measured["ctc"], ctc_mean)
    torch.testing.assert_close(measured["loss"], ctc_mean + 0.3 * measured["disagreement"])


def test_views_that_are_the_same_agree_and_evaluation_has_one() -> None:
    objective = objective_of(CONFIGS["compact"], consistency=1, time_masks=0, feature_masks=0)
    plain = objective_of(CONFIGS["compact"], time_masks=0, feature_masks=0)
    batch = batch_of([16_000, 9_500], ("SOME WORDS", "FEW"))
    measured, expected = run(objective.train(), batch), run(plain.train(), batch)
    torch.testing.assert_close(measured["disagreement"], torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(measured["loss"], expected["loss"])
    assert "disagreement" not in run(objective.eval(), batch)


@pytest.mark.parametrize("training", [True, False])
def test_every_row_needs_its_text(training: bool) -> None:
    objective = objective_of(CONFIGS["compact"], consistency=1).train(training)
    with pytest.raises(AssertionError, match="a text for every row"):
        run(objective, batch_of([16_000, 9_500], ("FEW",)))


def test_two_views_in_half_precision_lose_little() -> None:
    objective = objective_of(CONFIGS["compact"], consistency=0.5).train()
    batch = batch_of([16_000, 9_500], ("SOME WORDS", "FEW"))
    exact = run(objective, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = run(objective, batch)
    rounded["loss"].backward()
    for name in ("loss", "ctc", "disagreement"):
        assert rounded[name].dtype == torch.float32
        torch.testing.assert_close(rounded[name], exact[name], rtol=0.05, atol=0.01)


def test_only_the_view_that_is_judged_learns_from_the_other() -> None:
    """Held fixed, the other view takes no gradient, so each has that of one cross-entropy."""
    generator = torch.Generator().manual_seed(0)
    scores_BTK = torch.randn(2, 5, 4, generator=generator).requires_grad_()
    mask_BT = torch.tensor([[True, True, True, False, False]]).expand(2, 5)
    ctc._summed_disagreement(scores_BTK.log_softmax(-1), mask_BT).backward()
    chances_BTK = scores_BTK.detach().softmax(-1)
    one_TK = (chances_BTK[0] - chances_BTK[1])[:3] / 2  # of KL(fixed, softmax(scores)), halved
    torch.testing.assert_close(scores_BTK.grad[0, :3], one_TK)
    torch.testing.assert_close(scores_BTK.grad[1, :3], -one_TK)
    assert not scores_BTK.grad[:, 3:].any()


@FRONTS
@pytest.mark.parametrize("consistency", [0, 0.3], ids=["one view", "two views"])
def test_two_processes_give_the_loss_and_gradient_of_one(
    config: EncoderConfig, consistency: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = objective_of(config, consistency=consistency).train()
    batch = batch_of([16_000, 14_000, 9_500, 8_000], ("SOME WORDS", "MORE", "FEW", "A"))
    whole = run(objective, batch)
    whole["loss"].backward()
    gradient = [weight.grad.clone() for weight in objective.parameters()]
    characters = sum(map(len, batch.texts)) / 2
    frames = float(count_frames(objective.encoder, batch.samples_B).sum()) / 2
    frames *= 2 if consistency else 1
    means = iter(2 * [characters, frames])  # over both processes, in the order that they are asked
    monkeypatch.setattr(ctc, "mean_over_processes", lambda _: torch.tensor(next(means)))
    objective.zero_grad()
    parts = [run(objective, rows_of(batch, first, first + 2)) for first in (0, 2)]
    (sum(part["loss"] for part in parts) / 2).backward()
    for name in whole:
        torch.testing.assert_close(sum(part[name] for part in parts) / 2, whole[name])
    for weight, expected in zip(objective.parameters(), gradient, strict=True):
        torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def sung() -> SpeechBatch:
    texts = ("CAB", "BATT")
    waveforms = [torch.from_numpy(tones(text)) for text in texts]
    waveforms_BN = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
    return SpeechBatch(waveforms_BN, torch.tensor([len(w) for w in waveforms]), texts, 0, 2)


@pytest.fixture(scope="module")
def learnt(sung: SpeechBatch) -> CtcObjective:
    """A tiny encoder that has learnt two recordings by heart."""
    objective = objective_of(CONFIGS["compact"], time_masks=1, time_mask_frames=2)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    for update in range(300):
        optimizer.zero_grad()
        objective(sung, update / 300, generator).loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
    return objective


def test_it_learns_two_recordings_by_heart(learnt: CtcObjective, sung: SpeechBatch) -> None:
    assert learnt.transcribe(sung) == ["CAB", "BATT"]
    assert run(learnt.eval(), sung)["ctc"] < 0.1


def test_a_saved_head_and_encoder_transcribe_the_same(
    learnt: CtcObjective, sung: SpeechBatch, tmp_path: Path
) -> None:
    learnt.encoder.save(tmp_path)
    learnt.save_head(tmp_path)
    loaded = load_transcriber(tmp_path)
    assert not loaded.training
    assert loaded.transcribe(sung) == ["CAB", "BATT"]
    assert all(map(torch.equal, loaded.state_dict().values(), learnt.state_dict().values()))


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def _narrow(file: Path) -> None:
    ctc.CtcHead(8, 0.0, seed=0).save(file.parent)


def _without_characters(file: Path) -> None:
    file.write_bytes(ctc.save({"linear.bias": torch.zeros(29)}))


def _with_other_characters(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"Z", b"@"))


@pytest.mark.parametrize("damage", [_cut, _narrow, _without_characters, _with_other_characters])
def test_a_damaged_head_is_one_clear_line(damage: Callable[[Path], None], tmp_path: Path) -> None:
    objective = objective_of(CONFIGS["compact"])
    objective.encoder.save(tmp_path)
    objective.save_head(tmp_path)
    load_transcriber(tmp_path)
    damage(tmp_path / "ctc.safetensors")
    with pytest.raises(ModelError, match=r"ctc\.safetensors: damaged head \(.+\)") as caught:
        load_transcriber(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_head_is_one_clear_line(tmp_path: Path) -> None:
    objective_of(CONFIGS["compact"]).encoder.save(tmp_path)
    with pytest.raises(ModelError, match=r"ctc\.safetensors: not found; pretrain") as caught:
        load_transcriber(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_head_follows_its_seed_and_leaves_no_trace_in_the_random_state() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (ctc.CtcHead(16, 0.0, seed).linear.weight for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
