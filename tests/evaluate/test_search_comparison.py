"""A comparison runs every method with every seed, each in an ordinary search folder, and weighs them."""

import shutil
from pathlib import Path

import pytest

from mfas.errors import RecipeError, RunError
from mfas.evaluate import check_search_comparison, compare_searches
from mfas.evaluate.search_comparison import default_methods, plan_searches
from mfas.search import SEARCHERS
from mfas.storage import read_json, write_json

CLOSED = ("--head.kind", "ridge", "--search.method", "exhaustive", "--evaluate.split", "groups:2")


def test_plans_are_methods_by_seeds_with_twins_in_the_yardstick(quick_recipe):
    plans = plan_searches(quick_recipe(), (), (0, 3), (0.05, 5.0))
    assert [plan.folder for plan in plans] == [
        *(f"{method}-s{seed}" for method in SEARCHERS for seed in (0, 3)),
        *(f"darts-lr{rate}-s{seed}" for rate in ("0.05", "5") for seed in (0, 3)),
    ]
    assert {plan.label for plan in plans if plan.recipe.search.twins} == {"exhaustive"}
    assert [plan.recipe.search.alpha_lr for plan in plans[-4:]] == [0.05, 0.05, 5.0, 5.0]
    assert {plan.recipe.search.alpha_lr for plan in plans[:-4]} == {0.5}
    assert {plan.recipe.search.method for plan in plans[-4:]} == {"darts"}


def test_each_head_is_asked_for_what_it_can_do(quick_recipe):
    assert default_methods(quick_recipe()) == tuple(SEARCHERS)
    assert default_methods(quick_recipe(*CLOSED)) == ("random", "exhaustive")
    plans = plan_searches(quick_recipe(*CLOSED), (), (0,), ())
    assert [plan.folder for plan in plans] == ["random-s0", "exhaustive-s0"]


@pytest.mark.parametrize(
    ("overrides", "methods", "seeds", "rates", "said"),
    [
        (
            ("--fusion.strategy", "last:ism"),
            (),
            (0,),
            (),
            'fusion.strategy = "last:ism" leaves nothing',
        ),
        (("--sec.encoder", "none"), (), (0,), (), "with one encoder there is nothing to search"),
        ((), ("darts", "random"), (0,), (), "names no exhaustive"),
        ((), (), (), (), "--seeds: none given"),
        ((), (), (-1,), (), "seed = -1: input should be greater than or equal to 0"),
        ((), (), (0,), (0.0,), "search.alpha_lr = 0.0: input should be greater than 0"),
        ((), (), (0,), (float("nan"),), "search.alpha_lr = nan: input should be"),
        (CLOSED, ("darts", "exhaustive"), (0,), (), 'which search.method = "darts" cannot follow'),
        (CLOSED, (), (0,), (0.5,), 'which search.method = "darts" cannot follow'),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(
    quick_recipe, tmp_path, overrides, methods, seeds, rates, said
):
    with pytest.raises(RecipeError) as refused:
        compare_searches(quick_recipe(*overrides), tmp_path / "out", methods, seeds, rates)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def compared(tmp_path_factory, quick_recipe, tone_cache):
    """Both methods of a head in closed form, two folds, two seeds."""
    out = tmp_path_factory.mktemp("compared") / "run"
    stages = []
    found = compare_searches(
        quick_recipe(*CLOSED),
        out,
        seeds=(0, 1),
        cache=tone_cache,
        progress=lambda what, done, total: stages.append((what, done, total)),
    )
    return out, found, stages


def test_a_comparison_leaves_search_folders_and_evidence(compared):
    out, found, stages = compared
    assert read_json(out / "evidence.json") == found
    folders = {"random-s0", "random-s1", "exhaustive-s0", "exhaustive-s1"}
    assert {path.name for path in out.iterdir() if path.is_dir()} == folders
    assert all((out / name / "report.html").exists() for name in folders)
    assert ("searches: random-s1", 1, 4) in stages
    assert ("searches: done", 4, 4) in stages
    assert found["seeds"] == [0, 1]
    assert found["folds"] == ["01", "02"]
    assert len(found["picks"]) == 2 * 2 * 2
    assert len(found["candidates"]) == 19
    assert "they choose strategies, they do not report" in found["measure"]


def test_the_yardstick_has_no_regret_and_its_scores_are_those_of_the_others(compared):
    out, found, _ = compared
    random, exhaustive = found["methods"]
    assert exhaustive["estimates"]["regret"]["mean"] == 0
    assert exhaustive["cost"] == 1
    assert random["estimates"]["regret"]["mean"] >= 0
    assert random["cost"] == pytest.approx(4 / 19)  # candidates: their time depends on the cache
    assert random["affordable"] == 4
    assert random["estimates"]["elsewhere"] is None  # in closed form, seeds see the same
    scores = {}
    for name in ("exhaustive-s0", "exhaustive-s1"):
        for search in read_json(out / name / "strategies.json"):
            assert len(search["scores"]) == 22
            scores[search["fold"], search["seed"]] = search["scores"]
    for pick in found["picks"]:
        own = scores[pick["fold"], pick["seed"]]
        assert pick["score"] == own[pick["distinct"]]
        distinct = [ua for path, ua in own.items() if not path.endswith("_fc_r")]
        assert pick["regret"] == pytest.approx(max(distinct) - pick["score"])
        assert pick["over_mean"] == pytest.approx(pick["score"] - sum(distinct) / 19)
    for name in ("random-s0", "random-s1"):
        for search in read_json(out / name / "strategies.json"):
            own = scores[search["fold"], search["seed"]]
            assert search["scores"] == {path: own[path] for path in search["scores"]}
    assert found["noise"]["twin_pairs"] == 3 * 2 * 2


def test_a_comparison_that_is_resumed_searches_nothing_again(
    compared, quick_recipe, tone_cache, monkeypatch
):
    out, found, _ = compared
    for method in SEARCHERS:
        monkeypatch.setitem(SEARCHERS, method, None)
    again = compare_searches(
        quick_recipe(*CLOSED), out, seeds=(0, 1), resume=True, cache=tone_cache
    )
    assert again == found


def test_a_folder_that_holds_something_else_is_left_alone(compared, quick_recipe, tmp_path):
    out, _, _ = compared
    recipe = quick_recipe(*CLOSED)
    with pytest.raises(RunError, match="is not empty; add --resume"):
        compare_searches(recipe, out)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds no comparison to resume"):
        compare_searches(recipe, tmp_path, resume=True)
    with pytest.raises(RunError, match="is a file; name a folder"):
        compare_searches(recipe, tmp_path / "notes.txt")
    with pytest.raises(RunError, match="was started with another recipe"):
        compare_searches(quick_recipe(*CLOSED, "--fusion.dim", "8"), out, seeds=(0, 1), resume=True)


def test_evidence_verifies_and_what_was_changed_is_named(compared, tmp_path):
    out = Path(shutil.copytree(compared[0], tmp_path / "copy"))
    assert check_search_comparison(out) == []
    found = read_json(out / "evidence.json")
    found["methods"][0]["estimates"]["regret"]["mean"] = 0.0
    found["sentences"]["random"][0] = "random search is best"
    write_json(out / "evidence.json", found)
    (out / "evidence.png").write_bytes(b"another picture")
    picture, sentence, regret = check_search_comparison(out)
    assert picture == "evidence.png: has changed since evidence.json was made (hash differs)"
    assert sentence.startswith("evidence.json: sentences: random 0 is random search is best, ")
    assert regret.startswith("evidence.json: methods 0: estimates: regret: mean is 0.0, the runs ")


def test_a_changed_score_of_a_search_is_found(compared, tmp_path):
    out = Path(shutil.copytree(compared[0], tmp_path / "copy"))
    path = out / "exhaustive-s1" / "strategies.json"
    searches = read_json(path)
    searches[0]["scores"]["last:sum"] += 0.01
    write_json(path, searches)
    first, *others = check_search_comparison(out)
    assert first == (
        "exhaustive-s1/strategies.json: has changed since evidence.json was made (hash differs)"
    )
    assert any(fault.startswith("evidence.json: candidates") for fault in others)


def test_a_search_of_another_method_or_seed_is_not_taken_for_it(compared, tmp_path):
    out = Path(shutil.copytree(compared[0], tmp_path / "copy"))
    shutil.rmtree(out / "random-s1")
    shutil.copytree(out / "random-s0", out / "random-s1")
    assert "random-s1/recipe.toml: is not that of random in random-s1" in (
        check_search_comparison(out)
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("format", "{out}/evidence.json: made by another version; make it again"),
        ("runs", "{out}/evidence.json: cannot be checked ('runs'); make it again"),
        ("exhaustive-s0", "{out}/exhaustive-s0: no such run folder; mfas crossval"),
    ],
)
def test_evidence_that_cannot_be_read_is_one_clear_line(compared, tmp_path, damage, said):
    out = Path(shutil.copytree(compared[0], tmp_path / "copy"))
    if damage == "exhaustive-s0":
        shutil.rmtree(out / damage)
    else:
        found = read_json(out / "evidence.json")
        del found[damage]
        write_json(out / "evidence.json", found)
    with pytest.raises(RunError) as caught:
        check_search_comparison(out)
    assert str(caught.value).startswith(said.format(out=out))
    assert "\n" not in str(caught.value)
