"""`mfas search --compare`: from a recipe to sentences, and one clear line for what is wrong."""

import pytest

CLOSED = ("--head.kind", "ridge", "--evaluate.split", "groups:2", "--fusion.strategy", "search")


def test_a_comparison_ends_in_sentences_and_a_page(mfas, recipe, tmp_path):
    out = tmp_path / "out"
    keys = (*CLOSED, "--search.method", "random")
    outcome = mfas("search", recipe, "--out", out, *keys, "--compare", "--seeds", "0")
    assert outcome.code == 0, outcome
    assert "they choose strategies, they do not report" in outcome.out
    assert "exhaustive beats" in outcome.out or "Not shown that exhaustive beats" in outcome.out
    assert f"report: {out / 'report.html'}" in outcome.out
    assert (out / "report.html").exists()
    assert (out / "evidence.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seeds", "0", "1"), "--seeds and --alpha-lrs belong to a comparison; add --compare"),
        (("--alpha-lrs", "5"), "--seeds and --alpha-lrs belong to a comparison; add --compare"),
        (("--compare", "bayes"), "argument --compare: invalid choice: 'bayes'"),
        (("--compare",), 'fusion.strategy = "last:sum" leaves nothing to search'),
        (("--compare", "--seeds", "x"), "argument --seeds: invalid int value: 'x'"),
        (("--compare", "darts", *CLOSED[4:]), "names no exhaustive"),
    ],
)
def test_wrong_comparisons(refusal, recipe, tmp_path, arguments, said):
    assert said in refusal("search", recipe, "--out", tmp_path / "out", *arguments)
