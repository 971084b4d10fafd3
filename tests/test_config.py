"""A recipe is read, overridden, checked and written back."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mfas.config import (
    PretrainRecipe,
    Recipe,
    known_keys,
    parse_recipe,
    parse_values,
    read_pretrain_recipe,
    read_recipe,
    recipe_to_toml,
)
from mfas.errors import RecipeError

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
PRETRAINING = [path for path in RECIPES if "objective" in tomllib.loads(path.read_text())]
KEYS = [key for key, _, _ in known_keys(Recipe)]
MODELS = pytest.mark.parametrize("model", [Recipe, PretrainRecipe])


def refusal(values: dict | None = None, *overrides: str, model: type = Recipe) -> str:
    with pytest.raises(RecipeError) as raised:
        parse_values(model, values or {}, overrides, origin="r.toml")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def nested(key: str, value: object) -> dict:
    section, _, name = key.rpartition(".")
    return {section: {name: value}} if section else {name: value}


def keys_of(values: dict, prefix: str = "") -> list[str]:
    return [
        key
        for name, value in values.items()
        for key in (
            keys_of(value, f"{prefix}{name}.")
            if isinstance(value, dict) and f"{prefix}{name}" != "corpus.merge"
            else [f"{prefix}{name}"]
        )
    ]


@MODELS
def test_every_key_is_known_and_takes_its_default(model):
    keys = [key for key, _, _ in known_keys(model)]
    assert sorted(keys) == sorted(keys_of(model().model_dump()))
    for key, default, _ in known_keys(model):
        assert parse_values(model, nested(key, default)) == model()


def test_one_key_of_an_encoder_leaves_its_seed():
    recipe = parse_recipe({"sec": {"encoder": "table1"}}, ["--tec.finetune", "true"])
    assert (recipe.sec.seed, recipe.tec.seed) == (Recipe().sec.seed, Recipe().tec.seed)
    assert recipe.sec.seed != recipe.tec.seed


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_projects_own_recipes_are_valid(path):
    if path in PRETRAINING:
        assert read_pretrain_recipe(path).name == path.stem
        return
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert (recipe.corpus.manifest is None) == (path.stem == "best-compact"), "for any corpus"


def test_a_recipe_of_another_command_is_told_apart():
    other = next(path for path in RECIPES if path not in PRETRAINING)
    with pytest.raises(RecipeError, match=r"that is a key of mfas crossval, not of mfas pretrain$"):
        read_pretrain_recipe(other)
    with pytest.raises(RecipeError, match=r"that is a key of mfas pretrain, not of mfas crossval$"):
        read_recipe(PRETRAINING[0])


def test_a_recipe_is_named_after_its_file_unless_it_has_a_name(tmp_path):
    (tmp_path / "mine.toml").write_text("seed = 3\n")
    assert read_recipe(tmp_path / "mine.toml").name == "mine"
    assert read_recipe(tmp_path / "mine.toml", ["--name", "other"]).name == "other"
    (tmp_path / "mine.toml").write_text('name = "own"\n')
    assert read_recipe(tmp_path / "mine.toml").name == "own"


def test_a_byte_more_than_the_defaults_is_what_was_written(tmp_path):
    (tmp_path / "r.toml").write_text('[train]\nlr = 5e-4\n[corpus]\nclasses = ["a", "b"]\n')
    recipe = read_recipe(tmp_path / "r.toml")
    assert recipe.train.lr == 5e-4
    assert recipe.corpus.classes == ("a", "b")
    assert recipe.model_copy(update={"name": "mfas"}) == parse_recipe(
        {"train": {"lr": 5e-4}, "corpus": {"classes": ["a", "b"]}}
    )


@pytest.mark.parametrize(
    ("arguments", "key", "expected"),
    [
        (["--train.lr", "1e-3"], "train.lr", 1e-3),
        (["--train.lr=1e-3"], "train.lr", 1e-3),
        (["--train.epochs", "7"], "train.epochs", 7),
        (["--seed", "9"], "seed", 9),
        (["--train.balance", "false"], "train.balance", False),
        (["--fusion.residual", "true"], "fusion.residual", True),
        (["--fusion.strategy", "last:ism"], "fusion.strategy", "last:ism"),
        (["--fusion.ism_form", "x*g(y)"], "fusion.ism_form", "x*g(y)"),
        (["--fusion.ism_form=x+y*g(x)"], "fusion.ism_form", "x+y*g(x)"),
        (["--evaluate.split", "groups:5"], "evaluate.split", "groups:5"),
        (["--sec.encoder", "facebook/data2vec-audio-base"], "sec.encoder",
         "facebook/data2vec-audio-base"),
        (["--corpus.manifest", "a b/m.csv"], "corpus.manifest", Path("a b/m.csv")),
        (["--corpus.classes", '["sad", "calm"]'], "corpus.classes", ("sad", "calm")),
        (["--corpus.merge", '{excited = "happy"}'], "corpus.merge", {"excited": "happy"}),
        (["--corpus.merge.excited", "happy"], "corpus.merge", {"excited": "happy"}),
        (["--name", '"2024"'], "name", "2024"),
        (["--seed", "1", "--seed", "2"], "seed", 2),
    ],
)  # fmt: skip
def test_overrides(arguments, key, expected):
    value = parse_recipe({}, arguments)
    for name in key.split("."):
        value = getattr(value, name)
    assert value == expected
    assert type(value) is type(expected) or isinstance(expected, Path)


def test_overrides_win_and_leave_the_rest_and_the_callers_values():
    values = {"train": {"lr": 0.1, "epochs": 3}, "corpus": {"merge": {"a": "b"}}}
    recipe = parse_recipe(values, ["--train.lr", "0.2", "--corpus.merge.c", "d"])
    assert (recipe.train.lr, recipe.train.epochs) == (0.2, 3)
    assert recipe.corpus.merge == {"a": "b", "c": "d"}
    assert values == {"train": {"lr": 0.1, "epochs": 3}, "corpus": {"merge": {"a": "b"}}}


@pytest.mark.parametrize(
    ("values", "unknown", "nearest"),
    [
        ({"train": {"learning_rate": 1}}, "train.learning_rate", "train."),
        ({"train": {"epoch": 1}}, "train.epoch", "train.epochs"),
        ({"search": {"alphalr": 1}}, "search.alphalr", "search.alpha_lr"),
        ({"sec": {"finetuned": True}}, "sec.finetuned", "sec.finetune"),
        ({"sead": 1}, "sead", "seed"),
    ],
)
def test_an_unknown_key_gets_the_nearest_known_one(values, unknown, nearest):
    message = refusal(values)
    assert message.startswith(f"r.toml: unknown key {unknown}; did you mean {nearest}")
    assert refusal({}, f"--{unknown}", "1") == message
    assert message.split()[-1].rstrip("?") in KEYS


@pytest.mark.parametrize(
    ("values", "unknown", "nearest"),
    [
        ({"optimize": {"learning_rate": 1}}, "optimize.learning_rate", "optimize."),
        ({"optimize": {"update": 1}}, "optimize.update", "optimize.updates"),
        ({"mask": {"spam": 1}}, "mask.spam", "mask.span"),
        ({"continuous": {"ema_begin": 1}}, "continuous.ema_begin", "continuous.ema_"),
        ({"objectives": "ctc"}, "objectives", "objective"),
    ],
)
def test_an_unknown_key_of_pretraining_gets_the_nearest_known_one(values, unknown, nearest):
    message = refusal(values, model=PretrainRecipe)
    assert message.startswith(f"r.toml: unknown key {unknown}; did you mean {nearest}")


CLOSED = {"head": {"kind": "ridge"}, "search": {"method": "exhaustive"}}
CLOSED_AND_DARTS = (
    'r.toml: head.kind = "ridge" is solved in closed form, which search.method = "darts" cannot follow; '
    'set search.method to "exhaustive" or "random"'
)
CLOSED_AND_TUNED = (
    'r.toml: head.kind = "ridge" is solved in closed form, which cannot fine-tune an encoder; '
    "set sec.finetune and tec.finetune to false"
)
ADAPTED_COATTENTION = (
    'r.toml: evaluate.condition = "adapted": only head.kind = "ridge" adapts; '
    'set it, or use "plain"'
)


@pytest.mark.parametrize(
    ("values", "overrides", "message"),
    [
        ({"head": {"kind": "ridge"}}, (), CLOSED_AND_DARTS),
        (CLOSED, ("--search.method", "darts"), CLOSED_AND_DARTS),
        *(
            (CLOSED, ("--search.method", method), CLOSED_AND_DARTS.replace("darts", method))
            for method in ("single_path", "perturbation")
        ),
        (CLOSED, ("--sec.finetune", "true"), CLOSED_AND_TUNED),
        (CLOSED, ("--tec.finetune", "true", "--fusion.strategy", "none"), CLOSED_AND_TUNED),
        ({}, ("--evaluate.condition", "adapted"), ADAPTED_COATTENTION),
        (
            {"evaluate": {"condition": "adapted"}, "head": {"kind": "coattention"}},
            (),
            ADAPTED_COATTENTION,
        ),
    ],
)
def test_what_a_closed_form_cannot_do_is_refused_with_the_way_out(values, overrides, message):
    assert refusal(values, *overrides) == message


@pytest.mark.parametrize(
    "overrides",
    [
        ("--evaluate.condition", "adapted"),
        ("--search.method", "random"),
        ("--evaluate.selection", "paper", "--evaluate.allow_optimistic", "true"),
        ("--search.method", "darts", "--fusion.strategy", "last:ism"),
        ("--search.method", "darts", "--fusion.strategy", "none"),
    ],
)
def test_what_a_closed_form_can_do_is_not_refused(overrides):
    assert parse_recipe(CLOSED, overrides).head.kind == "ridge"


@MODELS
def test_a_key_like_no_other_is_pointed_to_the_list(model):
    message = refusal({"zzzzzz": 1}, model=model)
    assert message == f"r.toml: unknown key zzzzzz; see mfas {model.command} --help"


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"train": {"lr": "fast"}}, "train.lr = 'fast': "),
        ({"train": {"lr": 0}}, "train.lr = 0: "),
        ({"train": {"lr": float("nan")}}, "train.lr = nan: "),
        ({"train": {"epochs": 2.5}}, "train.epochs = 2.5: "),
        ({"train": {"label_smoothing": 1}}, "train.label_smoothing = 1: "),
        ({"seed": -1}, "seed = -1: "),
        ({"evaluate": {"split": "loo"}}, "evaluate.split = 'loo': "),
        ({"evaluate": {"split": "groups:0"}}, "evaluate.split = 'groups:0': "),
        ({"head": {"size": "huge"}}, "head.size = 'huge': "),
        ({"train": 3}, "train = 3: "),
    ],
)
def test_a_wrong_value_is_named_with_its_key(values, start):
    message = refusal(values)
    assert message.startswith(f"r.toml: {start}")
    assert len(message) > len(f"r.toml: {start}") + 10


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"objective": "masked"}, "objective = 'masked': input should be 'quantised', 'contin"),
        ({"speech": {"crop_seconds": []}}, "speech.crop_seconds = []: "),
        ({"speech": {"crop_seconds": [2, 0.0]}}, "speech.crop_seconds.1 = 0.0: "),
        ({"speech": {"crop_seconds": 3}}, "speech.crop_seconds = 3: "),
        ({"speech": {"held_out": 1.0}}, "speech.held_out = 1.0: "),
        ({"mask": {"share": 1.0}}, "mask.share = 1.0: "),
        ({"mask": {"span": 0}}, "mask.span = 0: "),
        ({"optimize": {"betas": [0.9, 1.0]}}, "optimize.betas.1 = 1.0: "),
        ({"optimize": {"updates": 0}}, "optimize.updates = 0: "),
        ({"optimize": {"lr": float("inf")}}, "optimize.lr = inf: "),
        ({"encoder": {"size": "large"}}, "encoder.size = 'large': "),
        ({"guards": {"grace": 2}}, "guards.grace = 2: "),
    ],
)
def test_a_wrong_value_of_pretraining_is_named_with_its_key(values, start):
    message = refusal(values, model=PretrainRecipe)
    assert message.startswith(f"r.toml: {start}")
    assert len(message) > len(f"r.toml: {start}") + 10


def test_visible_students_need_as_many_frames_of_every_crop():
    both = {"continuous": {"student": "visible"}, "mask": {"placement": "overlapping"}}
    message = refusal(both, model=PretrainRecipe)
    assert message.startswith('r.toml: continuous.student = "visible" leaves out as many frames')
    assert message.endswith('set mask.placement = "disjoint"')
    for section, values in both.items():
        parse_values(PretrainRecipe, {section: values})


def test_overrides_that_are_none():
    assert "--train.lr: has no value; write --train.lr VALUE" in refusal({}, "--train.lr")
    assert "train.lr: not an option" in refusal({}, "train.lr", "1")
    assert "--name.x: 'name' is not a table" in refusal({"name": "n"}, "--name.x", "1")


def test_files_that_are_no_recipes(tmp_path):
    def file_refusal(path: Path) -> str:
        with pytest.raises(RecipeError) as raised:
            read_recipe(path)
        message = str(raised.value)
        assert "\n" not in message
        assert message.startswith(f"{path}: ")
        return message

    assert "no such recipe; recipes are TOML files" in file_refusal(tmp_path / "missing.toml")
    assert "no such recipe" in file_refusal(tmp_path)
    (tmp_path / "r.toml").write_text("[train\nlr = 1\n")
    assert "not valid TOML" in file_refusal(tmp_path / "r.toml")
    assert "line 1" in file_refusal(tmp_path / "r.toml")
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe\x00\x01")
    assert "not valid TOML" in file_refusal(tmp_path / "r.toml")
    (tmp_path / "r.toml").write_text("[train]\nepoch = 1\n")
    assert "did you mean train.epochs?" in file_refusal(tmp_path / "r.toml")


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().train.lr = 1.0


recipes = st.builds(
    lambda name, seed, manifest, classes, merge, encoder, dim, dropout, lr, split: parse_recipe(
        {
            "name": name,
            "seed": seed,
            "corpus": {"manifest": manifest, "classes": classes, "merge": merge},
            "sec": {"encoder": encoder, "finetune": seed % 2 == 0},
            "fusion": {"dim": dim, "dropout": dropout},
            "train": {"lr": lr},
            "evaluate": {"split": split},
        }
    ),
    name=st.text(),
    seed=st.integers(0, 2**63 - 1),
    manifest=st.none() | st.text(min_size=1),
    classes=st.lists(st.text(), max_size=3),
    merge=st.dictionaries(st.text(), st.text(), max_size=3),
    encoder=st.text(),
    dim=st.none() | st.integers(1, 2_000),
    dropout=st.floats(0, 0.99),
    lr=st.floats(1e-300, 1e300),
    split=st.sampled_from(["loso", "lospo", "kfold10", "groups:7"]),
)


@given(recipes)
def test_a_recipe_written_as_toml_is_the_same_recipe(recipe):
    written = recipe_to_toml(recipe)
    assert parse_recipe(tomllib.loads(written)) == recipe


@pytest.mark.parametrize("path", PRETRAINING, ids=lambda path: path.stem)
def test_a_pretraining_recipe_written_as_toml_is_the_same_recipe(path):
    recipe = read_pretrain_recipe(path, ["--speech.manifest", "a b.csv", "--seed", "7"])
    assert parse_values(PretrainRecipe, tomllib.loads(recipe_to_toml(recipe))) == recipe


@MODELS
def test_a_written_recipe_has_every_key_that_is_set(model):
    written = keys_of(tomllib.loads(recipe_to_toml(model())))
    unset = [key for key, default, _ in known_keys(model) if default is None]
    assert sorted(written + unset) == sorted(key for key, _, _ in known_keys(model))


def test_a_batch_is_split_into_equal_parts():
    with pytest.raises(RecipeError, match=r"train\.batch = 32 is not a multiple .* = 3"):
        parse_recipe({"train": {"accumulate": 3}})


def test_a_manifest_in_a_recipes_place_is_best_compact_on_it(tmp_path):
    recipe = read_recipe(tmp_path / "own.csv", ["--evaluate.condition", "adapted"])
    best = read_recipe(RECIPES[0].parent / "best-compact.toml")
    assert recipe.corpus.manifest == tmp_path / "own.csv"
    assert (recipe.name, recipe.evaluate.condition) == ("own-best-compact", "adapted")
    same = {"sec", "tec", "fusion", "head", "search", "train"}
    assert recipe.model_dump(include=same) == best.model_dump(include=same)
    assert read_recipe(tmp_path / "own.csv", ["--name", "mine"]).name == "mine"


def test_emodb_compact_is_best_compact_with_its_manifest():
    best = read_recipe(RECIPES[0].parent / "best-compact.toml")
    emodb = read_recipe(RECIPES[0].parent / "emodb-compact.toml")
    assert emodb.corpus.manifest == Path("emodb.csv")
    assert best.model_dump(exclude={"name", "corpus"}) == emodb.model_dump(
        exclude={"name", "corpus"}
    )
