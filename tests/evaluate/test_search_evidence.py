"""What made-up searches are worth, as computed by hand from the scores of all candidates."""

import json
from dataclasses import replace

import pytest

from mfas.evaluate.search_evidence import evidence, weigh_methods
from mfas.evaluate.search_noise import collapse, noise_floor
from mfas.evaluate.search_picks import CANDIDATES, Standalone, by_key, distinct_name, picks
from mfas.evaluate.search_sentences import noise_sentence, sentences, warnings
from mfas.fusion.strategy import LEVELS, OPERATION_NAMES
from mfas.report.run import Search, Strategy

SCORES = {name: 0.40 + 0.01 * i for i, name in enumerate(CANDIDATES)}  # mean 0.49, best 0.58
FREE = [0.2, 0.2, 0.2, 0.2, 0.05, 0.05, 0.05, 0.05]  # four fifths need no parameters


def search(method, fold, seed, path, seconds=19.0, scores=None, weights=None):
    return Search(
        fold=fold,
        seed=seed,
        method=method,
        strategy=Strategy(*path.split(":")),
        weights=weights,
        scores=SCORES if scores is None else scores,
        levels=LEVELS,
        operations=OPERATION_NAMES,
        trajectory=(weights,) if weights else (),
        seconds=seconds,
    )


def exhaustive(fold, seed=0, **scores):
    own = SCORES | {name.replace("__", ":"): score for name, score in scores.items()}
    best = max(CANDIDATES, key=lambda name: own[name])
    return search("exhaustive", fold, seed, best, scores=own)


def test_names_of_equal_functions_are_one():
    assert {distinct_name(f"{level}:zero") for level in LEVELS} == {"last:zero"}
    assert distinct_name("first:concat_fc_r") == "first:concat_fc"
    assert distinct_name("first:ism_r") == "first:ism_r"
    assert len(CANDIDATES) == 19


def test_a_pick_is_held_against_all_candidates():
    standalone = {("a", 0): Standalone.of(exhaustive("a"))}
    (pick,) = picks(by_key([search("darts", "a", 0, "first:sum", seconds=2.5)]), standalone)
    assert CANDIDATES[0] == "first:sum"
    assert pick.score == pytest.approx(0.40)
    assert pick.regret == pytest.approx(0.18)
    assert pick.over_mean == pytest.approx(-0.09)
    assert pick.over_zero == pytest.approx(0.40 - SCORES["last:zero"])
    assert pick.affordable == 2  # 19 candidates took 19 s
    assert pick.equal_cost == pytest.approx(
        0.39 + 0.01 * 2 / 3 * 20
    )  # the larger of two of 1 to 19
    assert pick.over_equal_cost == pytest.approx(pick.score - pick.equal_cost)
    assert pick.equal_cost_regret == pytest.approx(0.58 - pick.equal_cost)
    assert pick.elsewhere is None


@pytest.mark.parametrize(("seconds", "bought"), [(0.1, 1), (1.0, 1), (18.9, 18), (500.0, 19)])
def test_time_buys_at_least_one_candidate_and_at_most_all(seconds, bought):
    assert Standalone(SCORES, 1.0).affordable(seconds) == bought


def test_a_twin_is_scored_as_the_candidate_that_it_equals():
    standalone = {("a", 0): Standalone.of(exhaustive("a", last__concat_fc_r=0.99))}
    (pick,) = picks(by_key([search("darts", "a", 0, "last:concat_fc_r")]), standalone)
    assert pick.distinct == "last:concat_fc"
    assert pick.score == SCORES["last:concat_fc"]
    assert pick.regret == pytest.approx(0.58 - pick.score)


def test_elsewhere_asks_the_other_seeds_of_the_same_fold():
    trained = [
        exhaustive("a", 0),
        exhaustive("a", 1, first__sum=0.68),
        exhaustive("a", 2, first__sum=0.87),
        exhaustive("b", 1, first__sum=0.0),
    ]
    yardsticks = {key: Standalone.of(found) for key, found in by_key(trained).items()}
    (pick,) = picks(by_key([search("darts", "a", 0, "first:sum")]), yardsticks)
    means = [0.49 + (0.68 - 0.40) / 19, 0.49 + (0.87 - 0.40) / 19]
    (seen,) = picks(by_key([search("darts", "a", 0, "first:sum")]), yardsticks, unseen=False)
    assert seen.elsewhere is None
    assert pick.elsewhere == pytest.approx(((0.68 - means[0]) + (0.87 - means[1])) / 2)


def test_methods_are_averaged_over_folds_and_cost_is_a_share():
    searches = {
        "exhaustive": [exhaustive(fold, seed) for fold in "ab" for seed in (0, 1)],
        "darts": [
            search("darts", "a", 0, "last:ism", 3.8),
            search("darts", "a", 1, "last:ism", 3.8),
            search("darts", "b", 0, "last:concat_fc", 3.8),
            search("darts", "b", 1, "last:concat_fc_r", 3.8),
        ],
    }
    (_, darts), _ = weigh_methods(searches)
    assert darts.cost == pytest.approx(0.2)
    assert darts.seconds == pytest.approx(3.8)
    assert darts.affordable == 3
    expected = (SCORES["last:ism"] + SCORES["last:concat_fc"]) / 2
    assert darts.estimates["score"].mean == pytest.approx(expected)
    agreement = darts.agreement
    assert (agreement.overall, agreement.seeds, agreement.folds) == (2 / 6, 1.0, 0.0)
    assert agreement.chance == 1 / 19
    assert sorted(darts.votes) == [("last:concat_fc", 2), ("last:ism", 2)]


def test_tau_asks_whether_the_supernet_orders_as_training_does():
    reverse = {name: 1 - score for name, score in SCORES.items()}
    rising = [[0.01 * (i + 1) for i in range(8)]] * 3
    searches = {
        "exhaustive": [exhaustive("a")],
        "single_path": [search("single_path", "a", 0, "last:ism", scores=reverse)],
        "darts": [search("darts", "a", 0, "last:ism", weights=rising)],
    }
    (random, single, darts), _ = weigh_methods(searches)
    assert random.paths_tau is random.weights_tau is single.weights_tau is None
    assert single.paths_tau.mean == pytest.approx(-1)
    assert darts.paths_tau.mean == pytest.approx(1)
    # Weights rise with the operation's number. So do standalone scores, but for zero, which in the first
    # and middle level beats all others (wrong in 7 pairs of 28), and for the twins, which tie.
    tied = 28 - 1
    lower = (20 - 7) / (tied * 28) ** 0.5
    assert darts.weights_tau.mean == pytest.approx((2 * lower + tied / (tied * 28) ** 0.5) / 3)


def test_twins_and_seeds_measure_noise():
    floor = noise_floor(
        by_key(
            [
                exhaustive("a", 0, first__concat_fc_r=SCORES["first:concat_fc"] + 0.02),
                exhaustive("a", 1, last__concat_fc_r=SCORES["last:concat_fc"] - 0.04),
            ]
        )
    )
    assert floor.twin_pairs == 2
    assert floor.twins == pytest.approx(((0.02**2 + 0.04**2) / 2 / 2) ** 0.5)
    assert floor.seeds == pytest.approx(0)
    assert floor.candidates == pytest.approx(0.01 * (19 * 20 / 12) ** 0.5)  # of the numbers 1 to 19
    assert "(2 pairs of twins): noise is about 16 %" in noise_sentence(floor)


def test_a_common_shift_of_a_seed_is_no_noise_but_a_swap_is():
    shifted = {name: score + 0.1 for name, score in SCORES.items()}
    first = exhaustive("a", 0)
    assert noise_floor(
        by_key([first, search("exhaustive", "a", 1, "last:ism_r", scores=shifted)])
    ).seeds == pytest.approx(0)
    moved = exhaustive("a", 1, first__sum=SCORES["first:sum"] + 0.19)  # its mean moves by 0.01
    variance = (0.18**2 + 18 * 0.01**2) / 2 / 19
    assert noise_floor(by_key([first, moved])).seeds == pytest.approx(variance**0.5)
    alone = noise_floor(by_key([first]))
    assert alone.seeds is alone.twins is None
    assert "was not measured" in noise_sentence(alone)


def test_a_collapse_is_stated_with_its_numbers():
    paths = ["last:zero", "last:sum", "first:sum", "last:attention", "middle:sum", "last:sum"]
    members = [search("darts", str(i), 0, path, weights=[FREE] * 3) for i, path in enumerate(paths)]
    found = collapse(by_key(members))
    assert (found.zero, found.parameter_free, found.searches) == (1, 6, 6)
    assert found.expected == 12 / 24
    assert found.p_value == pytest.approx(0.5**6)
    assert found.weight.mean == pytest.approx(0.8)
    single = collapse(by_key([replace(member, method="single_path") for member in members]))
    assert single.expected == 10 / 19
    methods, _ = weigh_methods(
        {"exhaustive": [exhaustive(str(i)) for i in range(6)], "darts": members}
    )
    said = warnings(methods)
    assert "darts chose zero, which computes nothing, in 1 of 6 searches." in said
    assert any("6 of 6 searches, where chance gives 50 %" in line for line in said)
    assert any("end with 80 % on operations without parameters" in line for line in said)


def test_nothing_collapses_without_a_reason():
    even = [[1 / 8] * 8] * 3
    members = [
        search("darts", str(i), 0, path, weights=even)
        for i, path in enumerate(["last:sum", "last:ism", "last:concat_fc"])
    ]
    yardstick = [exhaustive(str(i)) for i in range(3)]
    methods, _ = weigh_methods({"exhaustive": yardstick, "darts": members})
    assert not [line for line in warnings(methods) if "darts" in line]


@pytest.mark.parametrize(
    ("paths", "verdict"),
    [
        (["last:ism_r", "last:ism", "last:ism_r"] * 2, "darts beats the average candidate"),
        (
            ["first:sum", "first:attention", "first:sum"] * 2,
            "darts is worse than the average candidate",
        ),
        (
            ["last:ism_r"] * 4,
            "From 4 folds it cannot be said whether darts beats the average candidate",
        ),
        (
            ["first:sum", "last:ism_r", "last:ism"] * 2,
            "Not shown that darts beats the average candidate",
        ),
    ],
)
def test_sentences_fall_either_way(paths, verdict):
    members = [search("darts", str(i), 0, path) for i, path in enumerate(paths)]
    (_, darts), _ = weigh_methods(
        {"exhaustive": [exhaustive(str(i)) for i in range(6)], "darts": members}
    )
    said = sentences(darts)
    assert said[0].startswith(verdict)
    assert "points, 95 % interval [" in said[0]
    assert "of inner-validation UA" in said[0]
    assert said[-1] == "A search of darts takes 19.0 s, 100 % of exhaustive search."


def test_one_fold_decides_nothing():
    methods, _ = weigh_methods(
        {"exhaustive": [exhaustive("a")], "random": [search("random", "a", 0, "last:ism_r")]}
    )
    said = sentences(methods[1])
    assert said[0].startswith("From one fold it cannot be said whether random beats")
    assert said[0].endswith("It chose by these very scores.")
    assert "one search cannot say" in " ".join(said)


def test_evidence_is_plain_json():
    searches = {
        "exhaustive": [exhaustive(fold) for fold in "ab"],
        "darts": [search("darts", fold, 0, "last:ism", weights=[[1 / 8] * 8] * 3) for fold in "ab"],
    }
    found = evidence(*weigh_methods(searches), by_key(searches["exhaustive"]))
    assert json.loads(json.dumps(found, allow_nan=False))["picks"][2]["label"] == "darts"
    assert [row["candidate"] for row in found["candidates"]] == list(reversed(CANDIDATES))
