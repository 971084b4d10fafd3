"""The head in closed form: what it solves, what it chooses by, and what it never looks at.

The heart is that leaving a group out costs no refit: here it is refitted, in numpy.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given as draw
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge as SklearnRidge
from sklearn.metrics import balanced_accuracy_score

from mfas.errors import ManifestError
from mfas.fusion import Strategy
from mfas.heads import RidgeHead, ridge
from mfas.model import MFAS
from mfas.train import SegmentSet, closed_form, fit, utterance_log_probabilities
from mfas.train.closed_form import PENALTIES, TEMPERATURES, Solution, solve_head
from mfas.train.data import Window
from mfas.train.pooled import Pooled, by_utterance, log_probabilities, pool_utterances
from mfas.train.scores import scores_of

CLASSES, DIM = 3, 2
FEATURES = 7 * DIM
SPEAKERS = ("ann", "bob", "cid", "dot", "eve")


@dataclass(frozen=True)
class Corpus:
    """Made-up pooled features: classes and speakers shift them, noise blurs them."""

    data: SegmentSet
    pooled: Pooled

    def changed(self, features_WF: torch.Tensor) -> "Corpus":
        return replace(self, pooled=replace(self.pooled, features_WF=features_WF))

    def rows_of(self, utterances) -> list[int]:
        return [row for u in utterances for row, own in enumerate(self.utterances) if own == u]

    def part(self, utterances) -> Pooled:
        rows = self.rows_of(utterances)
        windows = tuple(self.pooled.windows[row] for row in rows)
        return Pooled(self.pooled.features_WF[rows], windows, self.pooled.frames_W[rows])

    def said_by(self, *speakers: str) -> list[int]:
        return [u for u, name in enumerate(self.data.speakers) if name in speakers]

    @property
    def utterances(self) -> list[int]:
        return self.pooled.utterances


def make_corpus(
    seed: int = 0,
    each: int = 6,
    noise: float = 1.0,
    speakers: tuple[str, ...] = SPEAKERS,
    most_windows: int = 3,
    shares: tuple[float, ...] = (0.6, 0.25, 0.15),
) -> Corpus:
    generator = np.random.default_rng(seed)
    names = [name for name in speakers for _ in range(each)]
    targets = [int(t) for t in generator.choice(CLASSES, len(names), p=shares)]
    targets[:CLASSES] = range(CLASSES)
    class_KF = generator.normal(size=(CLASSES, FEATURES))
    place = {name: 2 * generator.normal(size=FEATURES) for name in speakers}
    windows, rows, frames = [], [], []
    for utterance, (name, target) in enumerate(zip(names, targets, strict=True)):
        for first in range(int(generator.integers(1, most_windows + 1))):
            windows.append(Window(utterance, first, 1))
            blur_F = noise * generator.normal(size=FEATURES)
            rows.append(class_KF[target] + place[name] + blur_F)
            frames.append(float(generator.integers(20, 149)))
    features_WF = torch.tensor(np.stack(rows)).float()
    counts = SimpleNamespace(encoded={})
    data = SegmentSet(counts, tuple(targets), CLASSES, tuple(names), tuple(names))
    return Corpus(data, Pooled(features_WF, tuple(windows), torch.tensor(frames)))


def make_model() -> MFAS:
    return MFAS(None, None, None, RidgeHead(CLASSES, DIM, streams=1))


@pytest.fixture
def solve(monkeypatch):
    """`solve(corpus, train, "plain")` -> the solved model and its solution."""

    def run(
        corpus: Corpus, train=None, *conditions: str, balance: bool = True, chosen_on=()
    ) -> tuple[MFAS, Solution]:
        monkeypatch.setattr(
            closed_form, "pool_utterances", lambda m, d, chosen: corpus.part(chosen)
        )
        model = make_model()
        train = range(len(corpus.data.targets_U)) if train is None else train
        solution = solve_head(
            model, corpus.data, train, balance, conditions or ("plain",), chosen_on
        )
        return model, solution

    return run


def weights_by_hand(corpus: Corpus, balance: bool) -> np.ndarray:
    """Every utterance weighs what its class asks, its windows share that by their frames."""
    targets = np.array(corpus.data.targets_U)
    frames_W, own = corpus.pooled.frames_W.double().numpy(), np.array(corpus.utterances)
    weights = []
    for row, utterance in enumerate(own):
        share = frames_W[row] / frames_W[own == utterance].sum()
        rarity = 1 / np.mean(targets == targets[utterance]) if balance else 1
        weights.append(share * rarity)
    return np.array(weights) / np.mean(weights)


def system_by_hand(
    corpus: Corpus, features_WF: np.ndarray, balance: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Kernel, centred targets, prior, weights."""
    standard_NF = (features_WF - features_WF.mean(axis=0)) / features_WF.std(axis=0)
    standard_NF = standard_NF.astype(np.float32).astype(np.float16).astype(np.float64)
    squares_NN = np.square(standard_NF[:, None] - standard_NF[None]).sum(axis=2)
    weights_N = weights_by_hand(corpus, balance)
    targets_NK = np.eye(CLASSES)[[corpus.data.targets_U[u] for u in corpus.utterances]]
    prior_K = weights_N @ targets_NK / weights_N.sum()
    return np.exp(-squares_NN / (2 * FEATURES)), targets_NK - prior_K, prior_K, weights_N


def refitted_without(groups, kernel_NN, centred_NK, weights_N, penalty: float) -> np.ndarray:
    """Scores of each group's rows from a solution of all other rows."""
    scores_NK = np.empty_like(centred_NK)
    for name in set(groups):
        out = np.array([group == name for group in groups])
        system = kernel_NN[~out][:, ~out] + penalty * np.diag(1 / weights_N[~out])
        scores_NK[out] = kernel_NN[out][:, ~out] @ np.linalg.solve(system, centred_NK[~out])
    return scores_NK


def log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def by_hand_of_utterances(rows_WK: np.ndarray, corpus: Corpus) -> np.ndarray:
    frames_W, own = corpus.pooled.frames_W.numpy(), np.array(corpus.utterances)
    means = [
        np.average(rows_WK[own == u], axis=0, weights=frames_W[own == u])
        for u in range(len(corpus.data.targets_U))
    ]
    return log_softmax(np.array(means))


def assert_leaves_out(solution: Solution, corpus: Corpus, groups, features_WF: np.ndarray) -> None:
    """The scores left out are those of solutions without the group."""
    kernel_NN, centred_NK, prior_K, weights_N = system_by_hand(corpus, features_WF, balance=True)
    scores_NK = refitted_without(groups, kernel_NN, centred_NK, weights_N, solution.penalty)
    rows_WK = log_softmax((scores_NK + prior_K) / solution.temperature)
    expected_UK = by_hand_of_utterances(rows_WK, corpus)
    np.testing.assert_allclose(solution.judged_UK, expected_UK, rtol=0, atol=2e-3)


@pytest.mark.parametrize("balance", [True, False])
def test_the_solution_is_scikit_learns_on_the_same_kernel(balance, solve):
    corpus = make_corpus()
    model, solution = solve(corpus, balance=balance)
    features_WF = corpus.pooled.features_WF.double().numpy()
    kernel_NN, centred_NK, prior_K, weights_N = system_by_hand(corpus, features_WF, balance)
    peer = SklearnRidge(kernel="precomputed", alpha=solution.penalty)
    peer.fit(kernel_NN, centred_NK, sample_weight=weights_N)
    solved = model.head.plain
    np.testing.assert_allclose(solved.dual_NK, peer.dual_coef_, rtol=0, atol=1e-3)
    np.testing.assert_allclose(solved.bias_K, prior_K, rtol=0, atol=1e-6)
    scores_NK = peer.predict(kernel_NN) + prior_K
    expected_WK = log_softmax(scores_NK / solution.temperature)
    np.testing.assert_allclose(solved(corpus.pooled.features_WF), expected_WK, rtol=0, atol=2e-3)
    expected_UK = by_hand_of_utterances(expected_WK, corpus)
    np.testing.assert_allclose(solution.fitted_UK, expected_UK, rtol=0, atol=2e-3)


@hypothesis_settings(max_examples=15)
@draw(seed=st.integers(0, 999), noise=st.sampled_from([0.3, 1.0, 3.0]), most=st.integers(1, 4))
def test_a_group_left_out_is_scored_as_by_a_solution_without_it(seed, noise, most):
    corpus = make_corpus(seed, each=4, noise=noise, most_windows=most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closed_form, "pool_utterances", lambda m, d, chosen: corpus.part(chosen))
        every = range(len(corpus.data.targets_U))
        solution = solve_head(make_model(), corpus.data, every, True, ("plain",))
    groups = [corpus.data.groups[u] for u in corpus.utterances]
    assert_leaves_out(solution, corpus, groups, corpus.pooled.features_WF.double().numpy())


def test_whole_groups_are_left_out_not_speakers(solve):
    corpus = make_corpus(3)
    session = {"ann": "one", "bob": "one", "cid": "two", "dot": "two", "eve": "three"}
    sessions = tuple(session[name] for name in corpus.data.speakers)
    corpus = replace(corpus, data=replace(corpus.data, groups=sessions))
    _, solution = solve(corpus)
    groups = [sessions[u] for u in corpus.utterances]
    assert_leaves_out(solution, corpus, groups, corpus.pooled.features_WF.double().numpy())


def test_utterances_are_left_out_where_there_is_one_speaker(solve):
    corpus = make_corpus(4, each=20, speakers=("ann",))
    _, solution = solve(corpus)
    features_WF = corpus.pooled.features_WF.double().numpy()
    assert_leaves_out(solution, corpus, corpus.utterances, features_WF)


@pytest.mark.parametrize("seed", range(5))
def test_the_penalty_is_the_one_that_scores_best_left_out(seed, solve):
    corpus = make_corpus(seed, noise=2.0)
    _, solution = solve(corpus)
    features_WF = corpus.pooled.features_WF.double().numpy()
    kernel_NN, centred_NK, prior_K, weights_N = system_by_hand(corpus, features_WF, balance=True)
    groups = [corpus.data.groups[u] for u in corpus.utterances]
    true_U = np.array(corpus.data.targets_U)
    true_N = true_U[corpus.utterances]
    judged = {}
    for penalty in PENALTIES:
        scores_NK = refitted_without(groups, kernel_NN, centred_NK, weights_N, penalty) + prior_K
        rows_by_temperature = {t: log_softmax(scores_NK / t) for t in TEMPERATURES}
        losses = {
            t: -np.average(rows_WK[np.arange(len(true_N)), true_N], weights=weights_N)
            for t, rows_WK in rows_by_temperature.items()
        }
        temperature = min(losses, key=losses.get)
        of_U = by_hand_of_utterances(rows_by_temperature[temperature], corpus)
        ua = balanced_accuracy_score(true_U, of_U.argmax(axis=1))
        judged[penalty] = round(ua, 6), of_U[np.arange(len(true_U)), true_U].mean(), temperature
    best = max(PENALTIES, key=lambda penalty: judged[penalty][:2])
    assert (solution.penalty, solution.temperature) == (best, judged[best][2])
    assert len({ua for ua, _, _ in judged.values()}) > 1, "there was something to choose"


@pytest.mark.parametrize("condition", ["plain", "adapted"])
def test_choices_can_be_made_on_other_utterances(condition, solve, monkeypatch):
    """The penalty is then the one whose solution, as it will be used, scores best on them."""
    corpus = make_corpus(5, each=20, noise=4.0)
    train, others = corpus.said_by("ann", "bob", "cid"), corpus.said_by("dot", "eve")
    model, solution = solve(corpus, train, condition, chosen_on=others)
    used_UK = log_probabilities(model.head, corpus.part(others), corpus.data, others)
    torch.testing.assert_close(solution.judged_UK.float(), used_UK, rtol=0, atol=2e-3)
    each = {}
    for penalty in PENALTIES:
        monkeypatch.setattr(closed_form, "PENALTIES", (penalty,))
        _, alone = solve(corpus, train, condition, chosen_on=others)
        each[penalty] = scores_of(alone.judged_UK, corpus.data, others)
    best = max(each, key=lambda penalty: (each[penalty].ua, -each[penalty].loss))
    assert len({scores.ua for scores in each.values()}) > 1, "there was something to choose"
    assert solution.penalty == best


def test_fit_reports_the_scores_of_what_is_left_out_and_needs_no_validation(
    solve, settings, monkeypatch
):
    corpus = make_corpus(1, noise=4.0)
    model, solution = solve(corpus)
    every, lines = range(len(corpus.data.targets_U)), []
    other = make_model()
    result = fit(other, corpus.data, every, (), settings(), 0, lines.append)
    assert result.best == scores_of(solution.judged_UK, corpus.data, every)
    assert result.best.ua < scores_of(solution.fitted_UK, corpus.data, every).ua
    assert (result.best_epoch, len(result.history), len(lines)) == (0, 1, 1)
    assert lines[0]["penalty"] == solution.penalty
    assert lines[0]["validation_ua"] == result.best.ua
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


@pytest.mark.parametrize("balance", [True, False])
def test_rare_classes_count_as_much_as_frequent_ones_if_balanced(balance, solve):
    corpus = make_corpus(2)
    model, _ = solve(corpus, balance=balance)
    counts_K = np.bincount(corpus.data.targets_U)
    expected_K = np.full(CLASSES, 1 / CLASSES) if balance else counts_K / counts_K.sum()
    np.testing.assert_allclose(model.head.plain.bias_K, expected_K, atol=1e-6)
    assert counts_K.max() > 2 * counts_K.min()


def test_a_long_utterance_weighs_as_one(solve):
    """However many windows it has, its class is no more frequent for that."""
    corpus = make_corpus(5, most_windows=1)
    first = corpus.data.targets_U.index(0)
    more = [Window(first, number, 1) for number in range(1, 30)]
    longer = Pooled(
        torch.cat([corpus.pooled.features_WF, corpus.pooled.features_WF[[first] * 29]]),
        (*corpus.pooled.windows, *more),
        torch.cat([corpus.pooled.frames_W, torch.full((29,), 40.0)]),
    )
    priors = [
        solve(replace(corpus, pooled=pooled), balance=False)[0].head.plain.bias_K
        for pooled in (corpus.pooled, longer)
    ]
    torch.testing.assert_close(priors[0], priors[1])


def test_utterances_are_the_mean_of_their_windows_by_frames():
    pooled = Pooled(
        torch.zeros(4, FEATURES),
        (Window(7, 0, 4), Window(2, 0, 4), Window(7, 4, 2), Window(7, 6, 1)),
        torch.tensor([100.0, 30, 50, 10]),
    )
    rows_WK = torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    of_UK = by_utterance(rows_WK, pooled, [2, 7])
    expected_K = (100 * rows_WK[0] + 50 * rows_WK[2] + 10 * rows_WK[3]) / 160
    torch.testing.assert_close(of_UK[1], expected_K.log_softmax(0))
    torch.testing.assert_close(of_UK[0], rows_WK[1])


def answers(model: MFAS, corpus: Corpus, utterances) -> torch.Tensor:
    return log_probabilities(model.head, corpus.part(utterances), corpus.data, utterances)


def with_another_channel(corpus: Corpus, speaker: str) -> Corpus:
    """One speaker's features, each scaled and shifted, as another microphone might."""
    generator = torch.Generator().manual_seed(8)
    rows = corpus.rows_of(corpus.said_by(speaker))
    features_WF = corpus.pooled.features_WF.clone()
    scale_F = 0.5 + torch.rand(FEATURES, generator=generator) * 2
    features_WF[rows] = features_WF[rows] * scale_F + torch.randn(FEATURES, generator=generator)
    return corpus.changed(features_WF)


@pytest.mark.parametrize("speaker", ["bob", "eve"])
def test_what_is_adapted_does_not_hear_a_speakers_scale_and_place(speaker, solve, monkeypatch):
    """Of a training speaker (bob) or a test speaker (eve); plain, it does."""
    monkeypatch.setattr(ridge, "VOICE_PRIOR", 0.0)
    corpus = make_corpus(6)
    train, test = corpus.said_by("ann", "bob", "cid", "dot"), corpus.said_by("eve")
    other = with_another_channel(corpus, speaker)
    seen = {
        condition: [answers(solve(c, train, condition)[0], c, test) for c in (corpus, other)]
        for condition in ("plain", "adapted")
    }
    torch.testing.assert_close(*seen["adapted"], rtol=0, atol=0.02)
    assert (seen["plain"][0] - seen["plain"][1]).abs().max() > 0.1


def test_leaving_a_group_out_holds_for_adapted_features_too(solve):
    corpus = make_corpus(7)
    model, solution = solve(corpus, None, "adapted")
    own = np.array([corpus.data.speakers[u] for u in corpus.utterances])
    features_WF = corpus.pooled.features_WF.double().numpy()
    adapted_WF = np.empty_like(features_WF)
    within_F = np.mean(
        [
            np.square(row_F - features_WF[own == name].mean(axis=0))
            for row_F, name in zip(features_WF, own, strict=True)
        ],
        axis=0,
    )
    for name in SPEAKERS:
        rows_WF = features_WF[own == name]
        share = len(rows_WF) / (len(rows_WF) + ridge.VOICE_PRIOR)
        mean_F = share * rows_WF.mean(axis=0) + (1 - share) * features_WF.mean(axis=0)
        variance_F = share * rows_WF.var(axis=0) + (1 - share) * within_F
        adapted_WF[own == name] = (rows_WF - mean_F) / np.sqrt(variance_F)
    assert_leaves_out(solution, corpus, list(own), adapted_WF)
    assert not model.head.plain.solved


def test_a_test_speakers_voice_is_of_that_speaker_alone(solve):
    """Whoever else is tested with them."""
    corpus = make_corpus(8)
    model, _ = solve(corpus, corpus.said_by("ann", "bob", "cid"), "adapted")
    dot, eve = corpus.said_by("dot"), corpus.said_by("eve")
    together_UK = answers(model, corpus, [*dot, *eve])
    torch.testing.assert_close(together_UK[: len(dot)], answers(model, corpus, dot))
    torch.testing.assert_close(together_UK[len(dot) :], answers(model, corpus, eve))
    one_UK = answers(model, corpus, eve[:1])
    assert not torch.allclose(one_UK[0], together_UK[len(dot)]), "its other recordings count"


@pytest.mark.parametrize("condition", ["plain", "adapted"])
def test_labels_of_the_tested_are_never_read(condition, solve):
    corpus = make_corpus(9)
    train, test = corpus.said_by("ann", "bob", "cid", "dot"), corpus.said_by("eve")
    model, solution = solve(corpus, train, condition)
    expected_UK = answers(model, corpus, test)
    unlabelled = replace(corpus, data=replace(corpus.data, targets_U=()))
    assert torch.equal(answers(model, unlabelled, test), expected_UK)
    lied = tuple((t + 1) % CLASSES if u in test else t for u, t in enumerate(corpus.data.targets_U))
    other = replace(corpus, data=replace(corpus.data, targets_U=lied))
    again, same = solve(other, train, condition)
    assert torch.equal(answers(again, corpus, test), expected_UK)
    assert torch.equal(same.judged_UK, solution.judged_UK)


def test_both_conditions_can_be_solved_at_once(solve):
    corpus = make_corpus(10)
    both, solution = solve(corpus, None, "plain", "adapted")
    plain, expected = solve(corpus, None, "plain")
    adapted, _ = solve(corpus, None, "adapted")
    assert torch.equal(solution.judged_UK, expected.judged_UK), "scores are of the first"
    for one, other in (
        (both.head.plain, plain.head.plain),
        (both.head.adapted, adapted.head.adapted),
    ):
        for name, tensor in one.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor), name
    test = corpus.said_by("eve")
    assert torch.equal(answers(both, corpus, test), answers(plain, corpus, test))


def test_more_windows_than_a_kernel_matrix_holds_are_refused(solve, monkeypatch):
    corpus = make_corpus()
    windows = len(corpus.pooled.windows)
    monkeypatch.setattr(closed_form, "MOST_ROWS", windows - 1)
    with pytest.raises(
        ManifestError, match=f'^{windows} windows .* use head.kind = "coattention"$'
    ):
        solve(corpus)
    monkeypatch.setattr(closed_form, "MOST_ROWS", windows)
    solve(corpus)


@pytest.mark.parametrize("condition", ["plain", "adapted"])
def test_a_feature_that_never_varied_in_training_gives_numbers(condition, solve):
    """A low quantile behind a ReLU is 0 for all training windows, and not for a new speaker."""
    corpus = make_corpus(11)
    train, test = corpus.said_by("ann", "bob", "cid", "dot"), corpus.said_by("eve")
    features_WF = corpus.pooled.features_WF.clone()
    features_WF[corpus.rows_of(train), 4] = 0
    features_WF[corpus.rows_of(test), 4] = 0.3
    calm = corpus.changed(features_WF)
    model, _ = solve(calm, train, condition)
    seen_UK = answers(model, calm, test)
    assert torch.isfinite(seen_UK).all()
    features_WF[corpus.rows_of(test), 4] = 0
    still_UK = answers(model, corpus.changed(features_WF), test)
    assert (seen_UK.argmax(1) == still_UK.argmax(1)).all(), "it says nothing of the class"


@pytest.fixture
def make_ridge_model(experiment):
    """The quick experiment's model with a head in closed form: `make_ridge_model("last:ism")`."""

    def make(strategy: str = "last:sum", seconds: float = 3.0, beside=True, **fusion) -> MFAS:
        recipe = experiment.recipe
        tables = recipe.model_dump() | {
            "head": {"kind": "ridge", "context_seconds": seconds, "sec_beside": beside},
            "search": {"method": "exhaustive"},
            "fusion": recipe.fusion.model_dump() | fusion,
        }
        closed = replace(experiment, recipe=type(recipe).model_validate(tables))
        return closed.make_model(Strategy.parse(strategy), 0)

    return make


@pytest.fixture
def unkept(experiment) -> SegmentSet:
    """The tone corpus with no folder for what is pooled."""
    return replace(experiment.data, pooled=None)


def test_pooling_keeps_the_order_asked_and_counts_frames(unkept, make_ridge_model):
    data, model = unkept, make_ridge_model()
    long = data.features.segment_counts.index(2)
    pooled = pool_utterances(model, data, (long + 1, long))
    assert pooled.windows == (Window(long + 1, 0, 1), Window(long, 0, 1), Window(long, 1, 1))
    counts = data.features.encoded_frames["sec"]
    assert pooled.frames_W.tolist() == [*counts[long + 1], *counts[long]]
    for window, features_F in zip(pooled.windows, pooled.features_WF, strict=True):
        chosen = [(window.utterance, window.first)]
        streams, masks = model.eval().streams(data.features.batch(chosen))
        expected_F = model.head.pool(streams, masks)[0]
        torch.testing.assert_close(features_F, expected_F, rtol=1e-4, atol=1e-4)


def test_adjusted_tec_can_be_read_alone(unkept, make_ridge_model, said_by, settings):
    whole, alone = (make_ridge_model("middle:ism", beside=beside) for beside in (True, False))
    assert (whole.read, alone.read) == (("sec", "tec"), ("tec",))
    adjusted_WF = pool_utterances(alone, unkept, (3, 5)).features_WF
    assert adjusted_WF.shape[1] == alone.head.features == whole.head.features // 4
    last_WF = pool_utterances(whole, unkept, (3, 5)).features_WF[:, -alone.head.features :]
    torch.testing.assert_close(adjusted_WF, last_WF)
    train = said_by("ann", "bob", "cid")
    fit(alone, unkept, train, (), settings(), 0, lambda facts: None)
    batch = unkept.features.batch([(3, 0)])
    said_UK = utterance_log_probabilities(alone, unkept, [3])
    torch.testing.assert_close(alone.eval()(batch), said_UK, rtol=1e-4, atol=1e-4)


def test_windows_of_any_length_stay_with_their_utterance(unkept, make_ridge_model):
    """Windows of one length are pooled together, and put back in order."""
    data, model = unkept, make_ridge_model(seconds=12)
    long = data.features.segment_counts.index(2)
    asked = (long + 1, long, long + 2)
    together = pool_utterances(model, data, asked)
    assert [window.segments for window in together.windows] == [1, 2, 1]
    for row, utterance in enumerate(asked):
        alone = pool_utterances(model, data, [utterance])
        assert alone.windows == together.windows[row : row + 1]
        assert alone.frames_W[0] == together.frames_W[row]
        torch.testing.assert_close(alone.features_WF[0], together.features_WF[row])


def test_the_model_in_use_says_what_the_solution_says(unkept, make_ridge_model, said_by, settings):
    """`utterance_log_probabilities` of what was trained is `fitted_UK`, through real frames."""
    data, model = unkept, make_ridge_model()
    train = said_by("ann", "bob", "cid")
    result = fit(model, data, train, (), settings(), 0, lambda facts: None)
    found_UK = utterance_log_probabilities(model, data, train)
    assert scores_of(found_UK, data, train).loss == pytest.approx(
        result.history[0].train_loss, abs=1e-5
    )
    turned_UK = utterance_log_probabilities(model, data, train[::-1])
    torch.testing.assert_close(turned_UK.flip(0), found_UK)


def test_what_was_pooled_is_kept_and_shared(unkept, make_ridge_model, tmp_path, monkeypatch):
    model = make_ridge_model()
    kept = replace(unkept, pooled=tmp_path)
    for utterances in ((3, 0, 9), (5,)):
        fresh = pool_utterances(model, unkept, utterances)
        stored = pool_utterances(model, kept, utterances)
        assert stored.windows == fresh.windows
        assert torch.equal(stored.frames_W, fresh.frames_W)
        torch.testing.assert_close(stored.features_WF, fresh.features_WF, rtol=1e-4, atol=1e-4)
    assert len(list(tmp_path.iterdir())) == 2, "SEC and x'"
    monkeypatch.setattr(SegmentSet, "windows", None)
    assert pool_utterances(model, kept, (1, 2)).utterances == [1, 2], "nothing is pooled again"


@pytest.mark.parametrize(
    ("one", "other", "fusion"),
    [
        ("last:ism", "middle:ism", {}),
        ("last:ism", "last:ism_r", {}),
        ("last:sum", "last:zero", {}),
        ("last:sum", "first:sum", {}),
        ("last:ism", "last:ism", {"residual": True}),
        ("last:ism", "last:ism", {"ism_form": "x*g(y)"}),
    ],
)
def test_another_cell_is_not_given_what_was_pooled(
    one, other, fusion, unkept, make_ridge_model, tmp_path
):
    kept = replace(unkept, pooled=tmp_path)
    before = pool_utterances(make_ridge_model(one), kept, (0, 1))
    model = make_ridge_model(other, **fusion)
    seen, expected = (pool_utterances(model, data, (0, 1)) for data in (kept, unkept))
    torch.testing.assert_close(seen.features_WF, expected.features_WF, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before.features_WF, seen.features_WF)


@pytest.mark.parametrize("stream", ["sec", "tec"])
def test_other_scales_are_not_given_what_was_pooled(stream, unkept, make_ridge_model, tmp_path):
    """They are those of a fold's training utterances."""
    kept, model = replace(unkept, pooled=tmp_path), make_ridge_model("middle:ism")
    before = pool_utterances(model, kept, (0, 1))
    model.projections[stream].standard.mean.add_(0.5)
    seen, expected = (pool_utterances(model, data, (0, 1)) for data in (kept, unkept))
    torch.testing.assert_close(seen.features_WF, expected.features_WF, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before.features_WF, seen.features_WF)
