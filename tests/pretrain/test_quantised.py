"""The quantised objective against loops in numpy, on two processes, and as it learns."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mfas.config import GuardSection, MaskSection, QuantisedSection
from mfas.encoders import COMPACT, TABLE1, ConvolutionSettings, EncoderConfig, TransformerEncoder
from mfas.errors import RecipeError
from mfas.pretrain import codebooks, quantised, reconstruction
from mfas.pretrain.contrast import Candidates, contrast
from mfas.pretrain.masks import masked_frames, span_masks
from mfas.pretrain.objective import ObjectiveOutput, SpeechBatch
from mfas.pretrain.quantised import QuantisedObjective, gumbel_temperature

TINY = {"dim": 16, "depth": 3, "heads": 2, "ffn": 32, "position_kernel": 9, "position_groups": 4}
CONFIGS = {
    "compact": replace(COMPACT, **TINY, dropout=0.0),
    "table1": replace(TABLE1, **TINY, dropout=0.0, convolutions=ConvolutionSettings(channels=16)),
}
TWO = {"groups": 1, "codewords": 2, "dim": 12}
FEW = {"groups": 2, "codewords": 4, "dim": 12}  # 16 centres: all are candidates
MANY = {"groups": 2, "codewords": 13, "dim": 12, "negatives": 7}  # 169: negatives are sampled
MASKS = {
    "disjoint": MaskSection(share=0.6, span=3),
    "overlapping": MaskSection(share=0.5, span=3, placement="overlapping"),
}
SAMPLES = [9000, 12_000, 12_000, 5000]
by_loss = pytest.mark.parametrize("loss", ["bce", "infonce"])
by_standard = pytest.mark.parametrize("standard", ["batch", "none"])
by_centres = pytest.mark.parametrize("centres", [FEW, MANY], ids=["few", "many"])
by_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
by_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def objective_of(
    mask: MaskSection = MASKS["disjoint"],
    config: EncoderConfig = CONFIGS["compact"],
    **settings: Any,
) -> QuantisedObjective:
    section = QuantisedSection.model_validate({"diversity": 0, "feature_penalty": 0, **settings})
    encoder = TransformerEncoder(config, "tec", seed=1)
    return QuantisedObjective(encoder, section, mask, GuardSection(), seed=2)


def batch_of(samples: Sequence[int] = SAMPLES, seed: int = 0) -> SpeechBatch:
    """Rows of noise that changes its colour, behind their ends too."""
    generator = torch.Generator().manual_seed(seed)
    noise_BN = torch.randn(len(samples), max(samples), generator=generator)
    colour_B1 = torch.rand(len(samples), 1, generator=generator)
    times_N = torch.arange(max(samples)) / 1600
    swell_BN = 0.1 * (1.2 + torch.sin(times_N + 6 * colour_B1))
    waveforms_BN = swell_BN * (noise_BN + colour_B1 * noise_BN.roll(1, 1))
    return SpeechBatch(waveforms_BN, torch.tensor(samples), (), 0, len(samples))


def rows_of(batch: SpeechBatch, first: int, last: int) -> SpeechBatch:
    """Rows first to last of `batch`, as the process that holds them gets them."""
    rows = slice(first, last)
    return SpeechBatch(batch.waveforms_BN[rows], batch.samples_B[rows], (), first, batch.all_rows)


def run(
    objective: QuantisedObjective, batch: SpeechBatch, progress: float = 0.5, seed: int = 0
) -> ObjectiveOutput:
    return objective(batch, progress, torch.Generator().manual_seed(seed))


def gradients(objective: QuantisedObjective, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*objective.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


class ByHand:
    """What the objective should say of a batch in evaluation mode, frame by frame, in float64."""

    def __init__(self, objective: QuantisedObjective, batch: SpeechBatch, seed: int = 0) -> None:
        self.objective, self.settings = objective, objective.settings
        encoder, generator = objective.encoder, torch.Generator().manual_seed(seed)
        with torch.no_grad():
            features = encoder.front_end(batch.waveforms_BN, batch.samples_B)
            frames = features.mask_BT.shape[1]
            mask_BT = span_masks(batch.all_rows, frames, objective.mask, generator)
            mask_BT &= features.mask_BT
            seen_BTD = features.features_BTD.clone()
            seen_BTD[mask_BT] = objective.mask_embedding_D
            hidden_BTD = encoder.context(seen_BTD, features.mask_BT)[-1].hidden_BTD
        self.features_BTD, self.hidden_BTD = features.features_BTD.numpy(), hidden_BTD.numpy()
        self.mask_BT, self.real_BT = mask_BT.numpy(), features.mask_BT.numpy()
        books = objective.codebooks
        self.words_GVE = books.codewords_GVE.detach().double().numpy()
        self.score, self.project, self.guess = (
            (layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy())
            for layer in (books.scores, books.projection, objective.guess)
        )
        self.frames = [np.flatnonzero(row) for row in self.mask_BT]
        self.scores = [
            [self.scores_of(row, t) for t in frames] for row, frames in enumerate(self.frames)
        ]
        if self.settings.score_standard == "batch":
            every_NGV = np.array([s for scores in self.scores for s in scores])
            mean_GV, deviation_GV = every_NGV.mean(0), every_NGV.std(0)
            self.scores = [
                [3 * (s - mean_GV) / deviation_GV for s in scores] for scores in self.scores
            ]
        width = masked_frames(frames, objective.mask)
        draws = torch.rand(batch.all_rows, width, self.settings.negatives, generator=generator)
        self.draws = draws.numpy()

    def scores_of(self, row: int, frame: int) -> np.ndarray:
        feature_D = self.features_BTD[row, frame].astype(np.float64)
        normal_D = (feature_D - feature_D.mean()) / np.sqrt(feature_D.var() + 1e-5)
        weight, bias = self.score
        return (weight @ normal_D + bias).reshape(self.settings.groups, self.settings.codewords)

    def vector(self, code: Sequence[int]) -> np.ndarray:
        """The codewords of one centre, side by side."""
        return np.concatenate([self.words_GVE[g, v] for g, v in enumerate(code)])

    def similarity(self, row: int, frame: int, code: Sequence[int]) -> float:
        guess = self.guess[0] @ self.hidden_BTD[row, frame].astype(np.float64) + self.guess[1]
        centre = self.project[0] @ self.vector(code) + self.project[1]
        cosine = guess @ centre / np.linalg.norm(guess) / np.linalg.norm(centre)
        return float(cosine / self.settings.similarity_temperature)

    def candidates(self, row: int, place: int, codes: list[tuple[int, ...]]) -> list[Any]:
        """The codes that a masked frame might be compared with."""
        if self.settings.codewords**self.settings.groups <= 144:
            return list(np.ndindex(*[self.settings.codewords] * self.settings.groups))
        others = [code for other, code in enumerate(codes) if other != place]
        return [others[int(draw * len(others))] for draw in self.draws[row, place] if others]

    def losses(self, loss: str) -> tuple[list[float], list[bool]]:
        """The loss of every masked frame, and whether the positive came out first."""
        values, firsts = [], []
        for row, scores in enumerate(self.scores):
            codes = [tuple(int(v) for v in s.argmax(-1)) for s in scores]
            for place, code in enumerate(codes):
                positive = self.similarity(row, self.frames[row][place], code)
                negatives = [
                    self.similarity(row, self.frames[row][place], other)
                    for other in self.candidates(row, place, codes)
                    if not np.array_equal(self.vector(other), self.vector(code))
                ]
                if loss == "bce":
                    wrong = [-np.log(1 - 1 / (1 + np.exp(-s))) for s in negatives]
                    values.append(np.log(1 + np.exp(-positive)) + (np.mean(wrong) if wrong else 0))
                else:
                    every = np.exp([positive, *negatives])
                    values.append(-np.log(every[0] / every.sum()))
                firsts.append(bool(negatives) and positive > max(negatives))
        return values, firsts

    def usage(self, hard: bool) -> np.ndarray:
        """(G, V): how often the masked frames take each codeword, or how likely."""
        rows = [s for scores in self.scores for s in scores]
        if hard:
            return np.mean([np.eye(self.settings.codewords)[s.argmax(-1)] for s in rows], axis=0)
        return np.mean([np.exp(s) / np.exp(s).sum(-1, keepdims=True) for s in rows], axis=0)

    def mel_error(self, batch: SpeechBatch) -> float:
        """The mean squared error of the masked frames' log-mel: two of 10 ms beside each other."""
        with torch.no_grad():
            mel_BMF = self.objective.encoder.front.log_mel(batch.waveforms_BN).double().numpy()
        layer, errors = self.objective.mel_guess, []
        weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
        for row, frames in enumerate(self.frames):
            for t in frames:
                guess_F = weight @ self.hidden_BTD[row, t].astype(np.float64) + bias
                errors.append(np.mean((guess_F - mel_BMF[row, 2 * t : 2 * t + 2].ravel()) ** 2))
        return float(np.mean(errors))


def hand_perplexity(shares_GV: np.ndarray) -> list[float]:
    return [float(np.exp(-sum(p * np.log(p) for p in row if p > 0))) for row in shares_GV]


@by_loss
@by_standard
@pytest.mark.parametrize("centres", [TWO, FEW, MANY], ids=["two", "few", "many"])
@by_mask
def test_contrast_and_accuracy_are_those_of_a_loop_over_frames(
    loss: str, standard: str, centres: dict[str, int], mask: MaskSection
) -> None:
    objective = objective_of(mask, loss=loss, score_standard=standard, **centres).eval()
    batch = batch_of()
    with torch.no_grad():
        objective.guess.weight.neg_()  # happens to be right about most frames where V^G = 2
    losses, firsts = ByHand(objective, batch).losses(loss)
    output = run(objective, batch)
    assert output.loss.item() == pytest.approx(np.mean(losses), rel=1e-4)
    assert output.measures["contrast"].item() == pytest.approx(np.mean(losses), rel=1e-4)
    assert output.measures["accuracy"].item() == pytest.approx(np.mean(firsts), abs=1e-6)


@by_loss
@by_standard
def test_centres_of_identical_codewords_are_not_negatives_of_each_other(
    loss: str, standard: str
) -> None:
    objective, batch = objective_of(loss=loss, score_standard=standard, **FEW).eval(), batch_of()
    with torch.no_grad():
        objective.codebooks.codewords_GVE[0, 1:3] = objective.codebooks.codewords_GVE[0, 0]
    by_hand = ByHand(objective, batch)
    assert {tuple(s.argmax(-1)) for row in by_hand.scores for s in row} & {(0, 0), (1, 0), (2, 0)}
    losses, _ = by_hand.losses(loss)
    assert run(objective, batch).loss.item() == pytest.approx(np.mean(losses), rel=1e-4)


@by_standard
@by_mask
def test_diversity_perplexity_and_penalty_by_hand(standard: str, mask: MaskSection) -> None:
    settings = {**FEW, "diversity": 0.7, "feature_penalty": 3.0, "score_standard": standard}
    objective, batch = objective_of(mask, **settings).eval(), batch_of()
    by_hand, output = ByHand(objective, batch), run(objective, batch)
    words = objective.settings.groups * objective.settings.codewords
    diversity = (words - sum(hand_perplexity(by_hand.usage(hard=False)))) / words
    penalty = np.mean(by_hand.features_BTD[by_hand.real_BT] ** 2)
    measures = {name: value.item() for name, value in output.measures.items()}
    hard = np.mean(hand_perplexity(by_hand.usage(hard=True)))
    assert measures["diversity"] == pytest.approx(diversity, rel=1e-4)
    assert measures["perplexity"] == pytest.approx(hard, rel=1e-4)
    assert measures["masked_share"] == pytest.approx(
        by_hand.mask_BT.sum() / by_hand.real_BT.sum(), rel=1e-6
    )
    expected = measures["contrast"] + 0.7 * diversity + 3 * penalty
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)


@by_mask
def test_masked_log_mel_is_guessed_by_hand(mask: MaskSection) -> None:
    objective, batch = objective_of(mask, mel_weight=0.7, **FEW).eval(), batch_of()
    output, wanted = run(objective, batch), ByHand(objective, batch).mel_error(batch)
    assert output.measures["mel"].item() == pytest.approx(wanted, rel=1e-4)
    expected = output.measures["contrast"].item() + 0.7 * wanted
    assert output.loss.item() == pytest.approx(expected, rel=1e-4)


def test_guessing_log_mel_leaves_everything_else_as_it_is() -> None:
    plain, batch = objective_of(**FEW), batch_of()
    both = objective_of(mel_weight=0.7, **FEW)
    more = {name: value for name, value in both.state_dict().items() if "mel_guess" in name}
    assert {name: tuple(value.shape) for name, value in more.items()} == {
        "mel_guess.weight": (160, 16),
        "mel_guess.bias": (160,),
    }
    for name, value in plain.state_dict().items():
        assert value.equal(both.state_dict()[name]), name
    measures = run(both, batch).measures
    assert measures.keys() - run(plain, batch).measures.keys() == {"mel"}
    for name, value in run(plain, batch).measures.items():
        assert value.equal(measures[name]), name


def test_log_mel_alone_teaches_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the contrast has nothing to say."""
    silent = lambda candidates, loss: torch.zeros_like(candidates.positive_BM)  # noqa: E731
    monkeypatch.setattr(quantised, "contrast", silent)
    objective, batch = objective_of(mel_weight=0.5, **FEW), batch_of()
    run(objective, batch).loss.backward()
    for name, parameter in objective.named_parameters():
        if name.startswith(("codebooks", "guess")):
            assert parameter.grad is None or not parameter.grad.any(), name
        elif not name.endswith("query_key_value.bias"):
            assert parameter.grad.abs().max() > 0, name


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Candidates]:
    """What the contrast is given."""
    given: list[Candidates] = []

    def watched(candidates: Candidates, loss: Any) -> Tensor:
        given.append(candidates)
        return contrast(candidates, loss)

    monkeypatch.setattr(quantised, "contrast", watched)
    return given


def test_frames_of_the_same_centre_are_no_negatives(seen: list[Candidates]) -> None:
    run(objective_of(score_standard="none", **MANY).eval(), batch_of([12_000]))
    others_MM, times_MM = seen[0].others_BMC[0], seen[0].times_BMC[0]
    same_MM = (others_MM - seen[0].positive_BM[0][:, None]).abs() < 1e-5
    assert same_MM.sum() > len(times_MM), "no two frames share a centre, so this shows nothing"
    assert (times_MM[same_MM] == 0).all()
    assert times_MM.sum() > 0


@by_loss
@by_centres
def test_one_codeword_for_all_frames_is_finite_and_found_nowhere(
    loss: str, centres: dict[str, int]
) -> None:
    settings = {"diversity": 1, "feature_penalty": 1, "score_standard": "none"}
    objective = objective_of(loss=loss, **settings, **centres)
    with torch.no_grad():
        objective.codebooks.scores.bias.unflatten(0, (2, -1))[:, 1] = 1000
    output = run(objective, batch_of())
    assert output.measures["perplexity"].item() == pytest.approx(1)
    assert all(value.isfinite() for value in output.measures.values())
    assert all(g.isfinite().all() for g in gradients(objective, output.loss).values())
    if centres is MANY:
        assert output.measures["accuracy"] == 0
        if loss == "infonce":
            assert output.measures["contrast"] == 0


@by_centres
def test_no_bias_makes_frames_take_one_codeword_of_standardised_scores(
    centres: dict[str, int],
) -> None:
    objective = objective_of(**centres)
    before = run(objective, batch_of()).measures["perplexity"].item()
    with torch.no_grad():
        objective.codebooks.scores.bias.unflatten(0, (2, -1))[:, 1] = 1000
    output = run(objective, batch_of())
    assert output.measures["perplexity"].item() == pytest.approx(before, rel=0.01)
    assert before > 2
    assert all(g.isfinite().all() for g in gradients(objective, output.loss).values())


def test_temperature_falls_by_equal_factors() -> None:
    section = QuantisedSection(gumbel_start=2.0, gumbel_end=0.5)
    course = [gumbel_temperature(section, progress) for progress in (0, 0.25, 0.5, 0.75, 1)]
    assert course == pytest.approx([2, 2**0.5, 1, 0.5**0.5, 0.5])
    objective = objective_of(gumbel_start=2.0, gumbel_end=0.5, **FEW)
    assert run(objective, batch_of(), progress=0.5).measures["temperature"] == 1
    outputs = [run(objective, batch_of(), progress) for progress in (0, 1)]
    assert outputs[0].loss == outputs[1].loss, "the noise decides, whatever the temperature"
    soft_g, hard_g = (gradients(objective, output.loss) for output in outputs)
    name = "codebooks.scores.weight"
    assert not torch.allclose(soft_g[name], hard_g[name], rtol=0.01)


def test_noise_is_for_training() -> None:
    objective, batch = objective_of(score_standard="none", **FEW), batch_of()
    with torch.no_grad():
        objective.codebooks.scores.weight.mul_(0.01)  # the noise decides
    trained = run(objective, batch)
    assert run(objective.eval(), batch).loss != trained.loss
    assert run(objective, batch, progress=0.9).loss == run(objective, batch, progress=0.1).loss


def test_perplexity_is_that_of_the_likeliest_codewords_whatever_the_noise() -> None:
    objective, batch = objective_of(score_standard="none", **FEW), batch_of()
    with torch.no_grad():
        objective.codebooks.scores.weight.zero_()
        objective.codebooks.scores.bias.unflatten(0, (2, -1))[:, 1] = 0.1
    measures = run(objective, batch).measures
    assert measures["perplexity"].item() == pytest.approx(1)
    assert measures["diversity"].item() == pytest.approx(0, abs=0.01)


def test_weights_follow_from_the_seed_alone() -> None:
    first = objective_of(mel_weight=1, **FEW)
    torch.rand(3)
    state = torch.get_rng_state()
    second = objective_of(mel_weight=1, **FEW)
    assert torch.get_rng_state().equal(state)
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    assert all(name == other and a.equal(b) for (name, a), (other, b) in pairs)
    encoder = TransformerEncoder(CONFIGS["compact"], "tec", seed=1).state_dict()
    assert all(value.equal(encoder[name]) for name, value in first.encoder.state_dict().items())
    other = QuantisedObjective(
        first.encoder, first.settings, first.mask, GuardSection(), seed=3
    ).state_dict()
    names = ("mask_embedding_D", "guess.weight", "codebooks.codewords_GVE", "mel_guess.weight")
    for name in names:
        assert not other[name].equal(first.state_dict()[name])


@by_centres
def test_the_same_generator_means_the_same_loss(centres: dict[str, int]) -> None:
    objective, batch = objective_of(**centres), batch_of()
    losses = [run(objective, batch, seed=seed).loss.item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


class Meeting:
    """Stands for the exchange of two processes, which are threads here."""

    def __init__(self) -> None:
        self.barrier, self.own = threading.Barrier(2, timeout=60), threading.local()
        self.said: list[Tensor] = [torch.empty(0), torch.empty(0)]

    def mean(self, value: Tensor) -> Tensor:
        self.said[self.own.number] = value
        self.barrier.wait()
        mean = (self.said[0] + self.said[1]) / 2
        self.barrier.wait()
        return mean

    def run(self, work: Callable[[int], ObjectiveOutput]) -> list[ObjectiveOutput]:
        def process(number: int) -> ObjectiveOutput:
            self.own.number = number
            return work(number)

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(process, range(2)))


@pytest.fixture
def on_two(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[ObjectiveOutput]]:
    """What two processes make of a batch of four rows."""

    def outputs(objective: QuantisedObjective, batch: SpeechBatch) -> list[ObjectiveOutput]:
        meeting = Meeting()
        for module in (quantised, codebooks, reconstruction):
            monkeypatch.setattr(module, "mean_over_processes", meeting.mean)
        parts = [rows_of(batch, 0, 2), rows_of(batch, 2, 4)]
        return meeting.run(lambda number: run(objective, parts[number]))

    return outputs


@by_loss
@by_standard
@by_centres
@by_mask
def test_two_processes_have_the_loss_and_gradient_of_one(
    loss: str,
    standard: str,
    centres: dict[str, int],
    mask: MaskSection,
    on_two: Callable[..., list[ObjectiveOutput]],
) -> None:
    settings = {"diversity": 0.5, "feature_penalty": 2, "score_standard": standard}
    objective, batch = objective_of(mask, loss=loss, **settings, **centres), batch_of()
    whole = run(objective, batch)
    outputs = on_two(objective, batch)
    wanted = gradients(objective, whole.loss)
    for output in outputs:
        assert output.loss.item() == pytest.approx(whole.loss.item(), rel=1e-5)
        for name in set(whole.measures) - {"effective_rank"}:
            value = whole.measures[name].item()
            assert output.measures[name].item() == pytest.approx(value, rel=1e-5, abs=1e-6), name
    # the gradient of one process's loss runs through the exchange into both
    for name, gradient in gradients(objective, outputs[1].loss).items():
        assert torch.allclose(gradient, wanted[name], atol=2e-5, rtol=1e-3), name


@by_mask
def test_two_processes_guess_log_mel_as_one_does_on_average(
    mask: MaskSection, on_two: Callable[..., list[ObjectiveOutput]]
) -> None:
    """Each has the error of its own frames, over the frames of both."""
    objective, batch = objective_of(mask, mel_weight=3, **FEW), batch_of()
    whole, outputs = run(objective, batch), on_two(objective, batch)
    losses = [output.loss.item() for output in outputs]
    assert np.mean(losses) == pytest.approx(whole.loss.item(), rel=1e-5)
    errors = [output.measures["mel"].item() for output in outputs]
    assert np.mean(errors) == pytest.approx(whole.measures["mel"].item(), rel=1e-5)
    wanted = gradients(objective, whole.loss)
    for name, gradient in gradients(objective, sum(o.loss for o in outputs) / 2).items():
        assert torch.allclose(gradient, wanted[name], atol=5e-5, rtol=1e-3), name


@by_centres
@by_mask
def test_what_lies_behind_the_ends_changes_nothing(
    centres: dict[str, int], mask: MaskSection
) -> None:
    settings = {"diversity": 1, "feature_penalty": 1, "mel_weight": 1}
    objective, batch = objective_of(mask, **settings, **centres), batch_of()
    behind_BN = torch.arange(batch.waveforms_BN.shape[1]) >= batch.samples_B[:, None]
    louder = replace(batch, waveforms_BN=torch.where(behind_BN, 5.0, batch.waveforms_BN))
    assert run(objective, louder).loss.item() == pytest.approx(run(objective, batch).loss.item())


def test_nothing_is_asked_about_padding() -> None:
    objective, batch = objective_of(**FEW), batch_of([12_000, 900])
    real_BT = objective.encoder.front_end(batch.waveforms_BN, batch.samples_B).mask_BT
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        masked = objective._masked_frames(batch, real_BT, generator)
        assert not (masked.mask_BT & ~real_BT).any()
        assert (masked.mask_BT.gather(1, masked.frames_BM) == (masked.counts_BM == 1)).all()
        assert masked.counts_BM.sum() == masked.mask_BT.sum()
        assert (masked.counts_BM.diff(dim=1) <= 0).all()  # those that count come first


@by_config
@by_centres
def test_everything_learns(config: EncoderConfig, centres: dict[str, int]) -> None:
    settings = {"diversity": 0.1, "feature_penalty": 0.1}
    if config.log_mel is not None:
        settings["mel_weight"] = 0.1
    objective = objective_of(config=config, **settings, **centres)
    # keys' biases change nothing in a softmax, and codewords' nothing in a standardised score
    idle = ("query_key_value.bias", "scores.bias")
    for name, gradient in gradients(objective, run(objective, batch_of()).loss).items():
        assert gradient.isfinite().all(), name
        if not name.endswith(idle):
            assert gradient.abs().max() > 1e-6, name


@by_loss
@by_standard
@by_centres
def test_targets_learn_too(
    loss: str, standard: str, centres: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The straight-through choice hands gradients to the front end where guesses have none."""
    objective = objective_of(loss=loss, score_standard=standard, **centres)
    hidden = objective._hidden
    monkeypatch.setattr(objective, "_hidden", lambda *given: hidden(*given).detach())
    run(objective, batch_of()).loss.backward()
    books, front = objective.codebooks, objective.encoder.front
    for weight in (books.scores.weight, books.codewords_GVE, front.projection.weight):
        assert weight.grad is not None and weight.grad.abs().max() > 1e-6
    assert all(p.grad is None for p in objective.encoder.blocks.parameters())


@by_loss
@by_centres
def test_bfloat16_changes_the_loss_little(
    loss: str, centres: dict[str, int], seen: list[Candidates]
) -> None:
    settings = {"diversity": 1, "feature_penalty": 1, "mel_weight": 1}
    objective = objective_of(loss=loss, **settings, **centres).eval()
    exact = run(objective, batch_of())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = run(objective, batch_of())
    assert rough.loss.dtype == seen[-1].positive_BM.dtype == torch.float32
    assert seen[-1].others_BMC.dtype == rough.measures["mel"].dtype == torch.float32
    assert rough.loss.item() == pytest.approx(exact.loss.item(), rel=0.05)
    assert all(g.isfinite().all() for g in gradients(objective, rough.loss).values())


def tunes(rows: int, seed: int) -> SpeechBatch:
    """A second of tones, each of 200 ms, so that a masked frame is mostly like its neighbours."""
    random = np.random.default_rng(seed)
    hz_BN = random.choice([300, 700, 1500, 3200], size=(rows, 5)).repeat(3200, axis=1)
    noise_BN = 0.01 * random.normal(size=hz_BN.shape)
    tones_BN = 0.2 * np.sin(2 * np.pi * hz_BN.cumsum(1) / 16_000) + noise_BN
    return SpeechBatch(torch.from_numpy(tones_BN).float(), torch.full((rows,), 16_000), (), 0, rows)


def swells(rows: int, seed: int) -> SpeechBatch:
    """A second of noise, soft, louder or loud for 200 ms each."""
    random = np.random.default_rng(seed)
    levels_BN = random.choice([0.002, 0.02, 0.2], size=(rows, 5)).repeat(3200, axis=1)
    noise_BN = torch.from_numpy(levels_BN * random.normal(size=levels_BN.shape)).float()
    return SpeechBatch(noise_BN, torch.full((rows,), 16_000), (), 0, rows)


def train(
    objective: QuantisedObjective, updates: int, batch: Callable[[int, int], SpeechBatch] = tunes
) -> dict[str, float]:
    """The measures on other tunes, or the like, after training."""
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for update in range(updates):
        optimizer.zero_grad()
        run(objective.train(), batch(8, update), update / updates, update).loss.backward()
        optimizer.step()
    measures = run(objective.eval(), batch(8, 99), 1.0).measures
    return {name: value.item() for name, value in measures.items()}


def test_guesses_come_to_use_the_frames_around() -> None:
    """Of targets that do not move, they tell more than how common each is."""
    mask = MaskSection(share=0.3, span=2)
    objective = objective_of(mask, CONFIGS["table1"], loss="infonce", **FEW)
    objective.codebooks.scores.requires_grad_(False)
    objective.encoder.front.requires_grad_(False)
    measures = train(objective, updates=90)
    scores = ByHand(objective, tunes(8, 99)).scores
    codes = Counter(tuple(s.argmax(-1)) for row in scores for s in row)
    shares = np.array(list(codes.values())) / codes.total()
    assert measures["contrast"] < -(shares * np.log(shares)).sum() - 0.3
    assert measures["accuracy"] > shares.max() + 0.1


@pytest.mark.parametrize(
    ("standard", "updates", "share"), [("none", 60, 0.8), ("batch", 120, 0.95)]
)
def test_everything_learns_together_without_collapse(
    standard: str, updates: int, share: float
) -> None:
    settings = {"loss": "bce", "diversity": 1, "score_standard": standard, **MANY}
    objective = objective_of(MaskSection(share=0.3, span=2), CONFIGS["table1"], **settings)
    before = run(objective.eval(), tunes(8, 99), 1.0).measures
    measures = train(objective, updates)
    assert measures["contrast"] < share * 2 * np.log(2)  # a guess that says nothing pays 2 ln 2
    assert measures["accuracy"] > before["accuracy"] + 0.1
    assert measures["perplexity"] > 2


@by_standard
def test_the_guard_sees_codebooks_that_collapse(standard: str) -> None:
    """With nothing against it, one centre for all frames is the easiest to guess."""
    settings = {"loss": "infonce", "diversity": 0, "score_standard": standard}
    objective = objective_of(MaskSection(share=0.3, span=2), **settings, **FEW)
    measures = train(objective, updates=60)
    guard = objective.guards[0]
    assert guard.measure == "perplexity"
    assert (measures[guard.measure] < guard.least) == (standard == "none")


def test_guesses_of_log_mel_come_to_use_the_frames_around() -> None:
    objective = objective_of(MaskSection(share=0.3, span=2), mel_weight=1, **FEW)
    mel_BMF = objective.encoder.front.log_mel(swells(8, 99).waveforms_BN)
    alone = mel_BMF.var(dim=(0, 1)).mean().item()  # left by guessing the mean of all frames
    assert run(objective.eval(), swells(8, 99), 1.0).measures["mel"] > alone
    assert train(objective, updates=60, batch=swells)["mel"] < 0.6 * alone


def test_measures_are_detached_scalars_and_guards_watch_them() -> None:
    objective = objective_of(mel_weight=1, **FEW)
    measures = run(objective, batch_of()).measures
    assert set(measures) == {
        *("contrast", "diversity", "perplexity", "accuracy", "temperature", "masked_share"),
        *("effective_rank", "mel"),
    }
    assert all(value.shape == () and not value.requires_grad for value in measures.values())
    limits = {guard.measure: guard.least for guard in objective.guards}
    assert limits == {"perplexity": 1.2, "effective_rank": 1.2}
    assert limits.keys() <= measures.keys()


def test_codebooks_that_cannot_share_the_width_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"quantised\.dim = 256 does not divide"):
        objective_of(groups=3, codewords=2, dim=256)


def test_log_mel_is_guessed_only_where_there_is_one() -> None:
    objective_of(config=CONFIGS["table1"], **FEW)
    with pytest.raises(RecipeError) as raised:
        objective_of(config=CONFIGS["table1"], mel_weight=0.5, **FEW)
    line = "quantised.mel_weight: the encoder has no log-mel front end; set it to 0"
    assert str(raised.value) == line
