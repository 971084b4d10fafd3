"""Continuous targets, guesses and loss against a second implementation in numpy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf
from torch import Tensor, nn

from mfas.config import ContinuousSection, GuardSection, MaskSection
from mfas.encoders import LayerOutput, TransformerEncoder
from mfas.errors import RecipeError
from mfas.pretrain import ContinuousObjective, SpeechBatch, span_masks
from mfas.pretrain.continuous import frame_variance, standardised, teacher_decay
from mfas.pretrain.masks import masked_frames

MASK = MaskSection(share=0.5, span=4)
STUDENTS = pytest.mark.parametrize("student", ["masked", "visible"])
FRONTS = pytest.mark.parametrize("front", ["log-mel", "convolutions"])


@pytest.fixture(scope="session")
def make_objective(
    tiny_encoder: Callable[..., TransformerEncoder],
) -> Callable[..., ContinuousObjective]:
    """`make_objective("log-mel", student="visible")`; its teacher is not the encoder any more."""

    def make(front: str = "log-mel", dropout: float = 0.0, **settings: object):
        section = ContinuousSection.model_validate({"layers": 2, **settings})
        objective = ContinuousObjective(
            tiny_encoder(front, dropout=dropout), section, MASK, GuardSection(), 5, updates=100
        )
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, parameter in objective.named_parameters():
                if "teacher" in name or "embedding" in name or "gap" in name:
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return objective

    return make


def run(objective: ContinuousObjective, batch: SpeechBatch, seed: int = 0) -> dict[str, Tensor]:
    output = objective(batch, 0.5, torch.Generator().manual_seed(seed))
    return {"loss": output.loss, **output.measures}


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ array(layer.weight).T + array(layer.bias)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def normed(layer: nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-5)
    return scaled * array(layer.weight) + array(layer.bias)


def convolved(layer: nn.Conv1d, x_TD: np.ndarray) -> np.ndarray:
    """With as many zeros on both sides as half the kernel."""
    weight, width = array(layer.weight), x_TD.shape[1] // layer.groups
    kernel = weight.shape[2]
    padded_TD = np.pad(x_TD, ((kernel // 2, kernel // 2), (0, 0)))
    out_TD = np.zeros_like(x_TD)
    for t in range(len(x_TD)):
        for d in range(x_TD.shape[1]):
            first = d // width * width
            out_TD[t, d] = (padded_TD[t : t + kernel, first : first + width] * weight[d].T).sum()
    return out_TD + array(layer.bias)


def positioned(encoder: TransformerEncoder, x_TD: np.ndarray) -> np.ndarray:
    position = encoder.position
    return normed(position.norm, x_TD + gelu(convolved(position.convolution, x_TD)))


def through(blocks: nn.ModuleList, x_TD: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Hidden state and feed-forward output of every layer."""
    outputs = []
    for block in blocks:
        dim = x_TD.shape[1]
        heads = []
        for head in np.split(np.arange(dim), block.heads):
            q, k, v = (linear(block.query_key_value, x_TD)[:, head + n * dim] for n in range(3))
            scores = np.exp(q @ k.T / np.sqrt(len(head)))
            heads.append(scores / scores.sum(1, keepdims=True) @ v)
        attended = linear(block.attention_output, np.concatenate(heads, axis=1))
        x_TD = normed(block.attention_norm, x_TD + attended)
        ffn_TD = linear(block.ffn_output, gelu(linear(block.ffn_input, x_TD)))
        x_TD = normed(block.ffn_norm, x_TD + ffn_TD)
        outputs.append((x_TD, ffn_TD))
    return outputs


def guesses_by_hand(
    objective: ContinuousObjective, x_TD: np.ndarray, mask_T: np.ndarray
) -> list[np.ndarray]:
    encoder, student = objective.encoder, objective.student
    if objective.settings.student == "masked":
        seen_TD = np.where(mask_T[:, None], array(student.mask_embedding_D), x_TD)
        filled_TD = through(encoder.blocks, positioned(encoder, seen_TD))[-1][0]
    else:
        seen_TD = positioned(encoder, x_TD * ~mask_T[:, None])
        filled_TD = np.tile(array(student.gap_D), (len(x_TD), 1))
        filled_TD[~mask_T] = through(encoder.blocks, seen_TD[~mask_T])[-1][0]
        for layer in student.layers:
            filled_TD = normed(
                layer.norm, filled_TD + gelu(convolved(layer.convolution, filled_TD))
            )
    return [linear(guess, filled_TD) for guess in student.guesses]


def loss_by_hand(
    objective: ContinuousObjective, batch: SpeechBatch, masks_BMT: np.ndarray
) -> dict[str, float]:
    """The mean over masked frames, one by one."""
    features = objective.encoder.front_end(batch.waveforms_BN, batch.samples_B)
    errors, mel_errors = [], []
    for number, x_TD in enumerate(array(features.features_BTD)):
        layers = through(objective.teacher, positioned(objective.encoder, x_TD))
        ffn = [ffn_TD for _, ffn_TD in layers][-objective.settings.layers :]
        target_TD = np.mean([(f - f.mean(0)) / np.sqrt(f.var(0) + 1e-5) for f in ffn], axis=0)
        for mask_T in masks_BMT[number]:
            guesses = guesses_by_hand(objective, x_TD, mask_T)
            masked = np.flatnonzero(mask_T)
            errors += [((guesses[0][t] - target_TD[t]) ** 2).mean() for t in masked]
            if objective.settings.mel_weight:
                mel_MF = array(objective.encoder.front.log_mel(batch.waveforms_BN))[number]
                mel_TF = [np.concatenate(mel_MF[2 * t : 2 * t + 2]) for t in range(len(x_TD))]
                mel_errors += [((guesses[1][t] - mel_TF[t]) ** 2).mean() for t in masked]
    found = {"data2vec": np.mean(errors)}
    if mel_errors:
        found["mel"] = np.mean(mel_errors)
    weight = objective.settings.mel_weight
    return {"loss": found["data2vec"] + weight * found.get("mel", 0.0), **found}


@STUDENTS
@pytest.mark.parametrize(
    ("front", "settings"),
    [
        ("log-mel", {"layers": 1, "mel_weight": 0.0}),
        ("log-mel", {"layers": 3, "masks": 2, "mel_weight": 0.7}),
        ("convolutions", {"layers": 2, "masks": 3}),
    ],
)
def test_the_loss_by_hand(student, front, settings, make_objective, noisy_batch):
    objective = make_objective(front, student=student, **settings).train()
    batch = noisy_batch(3)
    masks = settings.get("masks", 1)
    frames = objective.encoder.front_end(batch.waveforms_BN, batch.samples_B).mask_BT.shape[1]
    mask_RT = span_masks(3 * masks, frames, MASK, torch.Generator().manual_seed(0))
    wanted = loss_by_hand(objective, batch, mask_RT.unflatten(0, (3, masks)).numpy())
    found = run(objective, batch)
    for name, value in wanted.items():
        assert found[name].item() == pytest.approx(value, rel=1e-4), name
    assert found["masked_share"] == mask_RT.float().mean()
    assert ("mel" in found) == bool(settings.get("mel_weight"))


def test_overlapping_masks_of_unequal_size_weigh_by_frame(make_objective, noisy_batch):
    objective = make_objective(mel_weight=0.5)
    objective.mask = replace_section(MASK, placement="overlapping", share=0.7)
    batch = noisy_batch(4)
    mask_RT = span_masks(4, 29, objective.mask, torch.Generator().manual_seed(0))
    assert len(set(mask_RT.sum(1).tolist())) > 1
    wanted = loss_by_hand(objective, batch, mask_RT[:, None].numpy())
    assert run(objective, batch)["loss"].item() == pytest.approx(wanted["loss"], rel=1e-4)


def replace_section(section: MaskSection, **changes: object) -> MaskSection:
    return MaskSection.model_validate({**section.model_dump(), **changes})


@STUDENTS
@pytest.mark.parametrize("mel_weight", [0.0, 0.5])
def test_rows_of_several_processes_make_the_loss_of_the_whole(
    student, mel_weight, make_objective, noisy_batch
):
    objective = make_objective(student=student, masks=2, mel_weight=mel_weight)
    whole = noisy_batch(6)
    parts = [
        SpeechBatch(whole.waveforms_BN[n : n + 2], whole.samples_B[n : n + 2], (), n, 6)
        for n in (0, 2, 4)
    ]
    losses = [run(objective, part)["loss"].item() for part in parts]
    assert np.mean(losses) == pytest.approx(run(objective, whole)["loss"].item(), rel=1e-5)
    assert len(set(losses)) == 3


def test_every_update_draws_other_masks(make_objective, noisy_batch):
    objective, batch = make_objective(), noisy_batch(2)
    assert run(objective, batch, seed=0)["loss"] == run(objective, batch, seed=0)["loss"]
    assert run(objective, batch, seed=0)["loss"] != run(objective, batch, seed=1)["loss"]


@STUDENTS
def test_what_is_masked_cannot_be_seen(student, make_objective, noisy_batch):
    """Neither through the layers nor through the position embedding, which looks sideways."""
    objective = make_objective(student=student, mel_weight=0.5).eval()
    batch = noisy_batch(3)
    features_RTD = objective.encoder.front_end(batch.waveforms_BN, batch.samples_B).features_BTD
    mask_RT = span_masks(3, features_RTD.shape[1], MASK, torch.Generator().manual_seed(0))
    visible = features_RTD.shape[1] - masked_frames(features_RTD.shape[1], MASK)

    def guesses(changed_RTD: Tensor) -> list[Tensor]:
        return objective.student(objective.encoder, changed_RTD, mask_RT, visible)

    before = guesses(features_RTD)
    hidden = guesses(features_RTD + 10 * mask_RT[..., None])
    for one, other in zip(before, hidden, strict=True):
        assert torch.equal(one, other)
    seen_RTD = features_RTD.clone()
    seen_RTD[:, int((~mask_RT[0]).nonzero()[0, 0])] += 10
    assert not torch.allclose(guesses(seen_RTD)[0][0][mask_RT[0]], before[0][0][mask_RT[0]])


@STUDENTS
@FRONTS
def test_the_teacher_is_given_no_gradient_and_everything_else_is(
    student, front, make_objective, noisy_batch
):
    objective = make_objective(front, student=student).train()
    run(objective, noisy_batch(3))["loss"].backward()
    for name, parameter in objective.named_parameters():
        if name.startswith("teacher."):
            assert parameter.grad is None
        else:
            assert parameter.grad.abs().sum() > 0, name


@STUDENTS
def test_mixed_precision_loses_no_gradient(student, make_objective, noisy_batch):
    """The teacher's pass without gradients must leave no cast weights behind for the student's."""
    objective = make_objective(student=student, mel_weight=0.5).train()
    batch = noisy_batch(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        measured = run(objective, batch)
    measured["loss"].backward()
    for name, parameter in objective.named_parameters():
        assert (parameter.grad is None) == name.startswith("teacher."), name
    whole = run(objective, batch)
    assert measured["loss"] != whole["loss"]
    for name in ("loss", "target_variance", "effective_rank"):
        assert measured[name].item() == pytest.approx(whole[name].item(), rel=0.05)
        assert measured[name].dtype == torch.float32


@STUDENTS
def test_the_front_end_learns_from_the_student_alone(
    student, make_objective, noisy_batch, monkeypatch
):
    """As if the targets were given: they pull at nothing."""
    objective, batch = make_objective(student=student).train(), noisy_batch(3)
    run(objective, batch)["loss"].backward()
    gradients = {n: p.grad.clone() for n, p in objective.encoder.named_parameters()}
    features_BTD = objective.encoder.front_end(batch.waveforms_BN, batch.samples_B).features_BTD
    given_BTD = objective._targets(features_BTD).clone()
    assert not given_BTD.requires_grad
    monkeypatch.setattr(objective, "_targets", lambda features_BTD: given_BTD)
    objective.zero_grad()
    run(objective, batch)["loss"].backward()
    for name, parameter in objective.encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], msg=name)


def test_the_teacher_never_drops_out(make_objective, noisy_batch):
    objective, batch = make_objective(dropout=0.5).train(), noisy_batch(3)
    torch.manual_seed(0)
    first, second = run(objective, batch), run(objective, batch)
    assert first["loss"] != second["loss"]
    assert first["target_variance"] == second["target_variance"]
    assert not any(module.training for module in objective.teacher.modules())
    assert objective.encoder.blocks[0].training
    assert objective.eval().train() is objective


@given(
    start=st.floats(0.001, 1),
    end=st.floats(0.001, 1),
    ramp=st.floats(0.01, 1),
    done=st.floats(0, 1),
)
def test_averaging_windows_scale_with_the_run(start, end, ramp, done):
    settings = ContinuousSection(ema_start=start, ema_end=end, ema_ramp=ramp)
    share = start + (end - start) * min(1, done / ramp)
    for updates in (10, 1000, 100_000):
        decay = teacher_decay(settings, done, updates)
        assert 1 / (1 - decay) == pytest.approx(max(1, share * updates), rel=1e-6)
        assert 0 <= decay < 1


def test_windows_by_hand():
    settings = ContinuousSection(ema_start=0.01, ema_end=0.1, ema_ramp=0.5)
    found = [teacher_decay(settings, done, 1000) for done in (0, 0.25, 0.5, 1)]
    assert found == pytest.approx([1 - 1 / 10, 1 - 1 / 55, 1 - 1 / 100, 1 - 1 / 100])
    assert teacher_decay(settings, 0, 50) == 0  # a window of less than one update: a copy


def test_the_teacher_is_a_moving_average_of_the_encoder(make_objective):
    objective = make_objective(ema_start=0.02, ema_end=0.1, ema_ramp=0.5)
    names = [name for name, _ in objective.encoder.blocks.named_parameters()]
    wanted = {name: array(p) for name, p in objective.teacher.named_parameters()}
    for progress, window in ((0.0, 2), (0.25, 6), (1.0, 10)):
        with torch.no_grad():
            for parameter in objective.encoder.blocks.parameters():
                parameter.mul_(1.1).add_(0.01)
        objective.after_update(progress)
        for name, student in objective.encoder.blocks.named_parameters():
            wanted[name] = (1 - 1 / window) * wanted[name] + array(student) / window
    assert sorted(wanted) == sorted(names)
    for name, teacher in objective.teacher.named_parameters():
        assert array(teacher) == pytest.approx(wanted[name], rel=1e-5, abs=1e-7)
        assert not teacher.requires_grad


def test_the_teacher_begins_as_the_encoder_but_is_another(tiny_encoder):
    encoder = tiny_encoder()
    section = ContinuousSection(layers=3)
    objective = ContinuousObjective(encoder, section, MASK, GuardSection(), 0, 10)
    pairs = zip(objective.teacher.parameters(), encoder.blocks.parameters(), strict=True)
    for teacher, student in pairs:
        assert torch.equal(teacher, student)
        assert teacher.data_ptr() != student.data_ptr()


def test_a_target_is_standardised_over_time():
    values_BTD = 3 * torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0)) + 7
    found = array(standardised(values_BTD))
    wanted = array(values_BTD)
    wanted = (wanted - wanted.mean(1, keepdims=True)) / wanted.std(1, keepdims=True)
    assert found == pytest.approx(wanted, abs=1e-4)
    assert not standardised(torch.full((1, 5, 2), 3.0)).any()


def test_frame_variance_is_that_of_the_frames_that_count():
    values_RTD = 100 + torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0))
    counted_RT = torch.rand(3, 20, generator=torch.Generator().manual_seed(1)) > 0.5
    wanted = array(values_RTD)[counted_RT.numpy()].var(axis=0).mean()
    values_RTD[~counted_RT] *= 1000
    assert frame_variance(values_RTD, counted_RT).item() == pytest.approx(wanted, rel=1e-4)


class SaysTheSame(nn.Module):
    """Of what is masked; the unmasked frames, of which nothing is asked, it gives back."""

    def forward(self, encoder, features_RTD, mask_RT, visible):
        return [torch.where(mask_RT[..., None], 0.5, features_RTD)]


def test_guesses_that_are_all_the_same_have_no_variance(make_objective, noisy_batch):
    objective = make_objective()
    assert run(objective, noisy_batch(2))["prediction_variance"] > 0.01
    objective.student = SaysTheSame()
    assert run(objective, noisy_batch(2))["prediction_variance"] < 1e-10


def test_a_teacher_that_says_the_same_of_all_has_no_variance(
    make_objective, noisy_batch, monkeypatch
):
    same = lambda blocks, hidden_BTD, mask: [  # noqa: E731
        LayerOutput(hidden_BTD, torch.ones_like(hidden_BTD)) for _ in blocks
    ]
    monkeypatch.setattr("mfas.pretrain.continuous.run_layers", same)
    assert run(make_objective(), noisy_batch(2))["target_variance"] == 0


def test_guards_have_their_measures(make_objective, noisy_batch):
    objective = make_objective()
    measured = run(objective, noisy_batch(2))
    limits = GuardSection()
    assert {g.measure: g.least for g in objective.guards} == {
        "target_variance": limits.target_variance,
        "prediction_variance": limits.prediction_variance,
        "effective_rank": limits.effective_rank,
    }
    assert measured.keys() >= {guard.measure for guard in objective.guards}
    assert not any(value.requires_grad for name, value in measured.items() if name != "loss")


def test_what_cannot_be(tiny_encoder):
    def refusal(front: str, **settings: object) -> str:
        section = ContinuousSection.model_validate(settings)
        with pytest.raises(RecipeError) as raised:
            ContinuousObjective(tiny_encoder(front), section, MASK, GuardSection(), 0, 10)
        return str(raised.value)

    assert refusal("log-mel", layers=4) == "continuous.layers = 4: the encoder has 3; ask for less"
    line = refusal("convolutions", layers=2, mel_weight=0.5)
    assert line == "continuous.mel_weight: the encoder has no log-mel front end; set it to 0"
