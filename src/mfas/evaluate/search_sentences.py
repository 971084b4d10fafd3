"""The evidence in plain sentences, whichever way it falls: what each method was worth, and what to beware of.

`MethodEvidence` and a noise floor enter; sentences leave. A difference whose interval holds 0 is "not
shown".
"""

from collections.abc import Sequence

from mfas.evaluate.search_evidence import YARDSTICK, MethodEvidence
from mfas.evaluate.search_noise import NoiseFloor
from mfas.evaluate.search_picks import STANDALONE
from mfas.evaluate.search_statistics import Estimate

MEASURE = (
    "All scores are UA on the inner-validation utterances of a fold, or with its training speakers "
    "left out in turn: they choose strategies, they do not report. What a strategy is worth, mfas "
    "crossval measures on the test folds."
)


LUCKY = " The best of several is picked by these very scores, so noise alone puts it ahead."


def sentences(method: MethodEvidence) -> list[str]:
    """What is known of one method."""
    said = [
        _verdict(
            method,
            "over_mean",
            "the average candidate, which is what one random pick gets",
            _caveat(method),
        ),
        _verdict(method, "over_zero", "zero, which computes nothing", _caveat(method)),
    ]
    if method.method not in STANDALONE:  # random search is that itself
        bought = f"random search for the same time (on average the best of {method.affordable:.1f})"
        said.insert(1, _verdict(method, "over_equal_cost", bought, LUCKY, may_lose=False))
    if method.estimates["elsewhere"] is not None:
        unseen = "the average candidate in the scores of other seeds, by which it did not choose"
        said.append(_verdict(method, "elsewhere", unseen, ""))
    return [*said, _regret(method), _stability(method), *_ranking(method), _cost(method)]


def _caveat(method: MethodEvidence) -> str:
    return " It chose by these very scores." if method.method in STANDALONE else ""


def _verdict(
    method: MethodEvidence, name: str, other: str, caveat: str, may_lose: bool = True
) -> str:
    """Whether a difference is shown, in one sentence; `may_lose`: whether a loss would mean something."""
    estimate = method.estimates[name]
    assert estimate is not None, f"{name} is known of every search"
    points = f"{in_points(estimate, sign=True)} of inner-validation UA.{caveat}"
    if not estimate.decides:
        few = "one fold" if estimate.folds == 1 else f"{estimate.folds} folds"
        return f"From {few} it cannot be said whether {method.label} beats {other}: {points}"
    if not estimate.shown or (estimate.mean < 0 and not may_lose):
        return f"Not shown that {method.label} beats {other}: {points}"
    return f"{method.label} {'beats' if estimate.mean > 0 else 'is worse than'} {other}: {points}"


def in_points(estimate: Estimate, sign: bool = False) -> str:
    """ "+1.2 points, 95 % interval [0.3, 2.1]"."""
    mean = f"{100 * estimate.mean:{'+' if sign else ''}.1f} points"
    interval = estimate.ci95
    if interval is None:
        return mean
    return f"{mean}, 95 % interval [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _regret(method: MethodEvidence) -> str:
    regret, equal = method.estimates["regret"], method.estimates["equal_cost_regret"]
    assert regret is not None and equal is not None, "known of every search"
    return (
        f"{method.label} stays behind the best candidate by {in_points(regret)}; random search for "
        f"the same time by {100 * equal.mean:.1f}. The best is the luckiest of all, too."
    )


def _stability(method: MethodEvidence) -> str:
    agreement = method.agreement
    if agreement.overall is None:
        return f"Whether {method.label} is stable, one search cannot say."
    parts = [
        f"{100 * share:.0f} % of pairs {which}"
        for share, which in (
            (agreement.seeds, "with other seeds in one fold"),
            (agreement.folds, "with one seed in other folds"),
        )
        if share is not None
    ]
    (best, count), *_ = method.votes
    return (
        f"Two searches of {method.label} choose the same function in {100 * agreement.overall:.0f} % "
        f"of pairs (chance: {100 * agreement.chance:.0f} %; {'; '.join(parts)}). Most often {best}, "
        f"in {count} of {method.searches}."
    )


def _ranking(method: MethodEvidence) -> list[str]:
    said = []
    for tau, what in (
        (method.paths_tau, "path scores of its supernet"),
        (method.weights_tau, "weights of alpha within a level"),
    ):
        if tau is not None:
            interval = tau.ci95
            spread = (
                f", 95 % interval [{interval.low:.2f}, {interval.high:.2f}]" if interval else ""
            )
            verdict = "agree" if tau.above(0) else "are not shown to agree"
            said.append(
                f"{method.label}: {what} {verdict} with standalone training in the order of candidates "
                f"more than chance would (Kendall's tau {tau.mean:.2f}{spread})."
            )
    return said


def _cost(method: MethodEvidence) -> str:
    if method.method == YARDSTICK:
        return f"A search takes {method.seconds:.1f} s, all {YARDSTICK} candidates of a fold."
    return (
        f"A search of {method.label} takes {method.seconds:.1f} s, {100 * method.cost:.0f} % of "
        f"{YARDSTICK} search."
    )


def noise_sentence(noise: NoiseFloor) -> str:
    """What differences between candidates are worth."""
    said = f"Candidates of one fold differ by a standard deviation of {100 * noise.candidates:.1f} points"
    if noise.twins is None:
        return f"{said}; how much of it is noise was not measured."
    share = min(1.0, (noise.twins / noise.candidates) ** 2) if noise.candidates else 1.0
    said += (
        f", two trainings of the same function by {100 * noise.twins:.1f} ({noise.twin_pairs} pairs "
        f"of twins): noise is about {100 * share:.0f} % of the variance between candidates"
    )
    if noise.seeds is not None:
        said += (
            f". Over seeds a candidate moves by {100 * noise.seeds:.1f} points against the others"
        )
    return f"{said}."


def warnings(methods: Sequence[MethodEvidence]) -> list[str]:
    """One line for every sign of a collapse."""
    said = []
    for method in methods:
        found = method.collapse
        if found.zero:
            said.append(
                f"{method.label} chose zero, which computes nothing, in {found.zero} of "
                f"{found.searches} searches."
            )
        if found.choices_collapse:
            said.append(
                f"{method.label} chose operations without parameters (zero, sum, attention) in "
                f"{found.parameter_free} of {found.searches} searches, where chance gives "
                f"{100 * found.expected:.0f} %: so many or more have p = {found.p_value:.3f}."
            )
        if found.weights_collapse and found.weight is not None:
            said.append(
                f"The weights of {method.label} end with {100 * found.weight.mean:.0f} % on operations "
                f"without parameters, where equal weights have {100 * found.equal_weight:.0f} %."
            )
    return said
