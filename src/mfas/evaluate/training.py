"""One model for use, trained on a whole manifest."""

from pathlib import Path
from typing import Any

from mfas.config import Recipe
from mfas.corpora import hold_out
from mfas.errors import ModelError
from mfas.evaluate.experiment import (
    NO_ENCODER,
    Progress,
    load_stream,
    prepare_experiment,
    read_corpus,
)
from mfas.heads.ridge import CONDITIONS
from mfas.model import MFAS, ModelCard, StoredFrames, save_model
from mfas.train import FitResult, cpu_threads, derive_seed, fit
from mfas.train.loop import Log


def train_model(
    recipe: Recipe,
    out: Path,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Search (unless the recipe fixes the strategy) and train on `recipe`'s manifest; save to `out`.

    Some speakers (`evaluate.inner_fraction`) are held out of training to choose strategy and
    epoch; with `evaluate.split = "kfold10"`, random utterances. A head in closed form learns from all
    speakers, and for both conditions, so that the model can be adapted to a voice later. Nothing is
    tested: what such a model scores on new speakers is what `cross_validate` says of the recipe.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out}: exists and is not empty; name another --out")
    manifest = read_corpus(recipe)
    settings = recipe.evaluate
    train, validation = hold_out(manifest, settings.split, settings.inner_fraction, recipe.seed)
    experiment = prepare_experiment(recipe, manifest, cache, progress)
    seed = derive_seed(recipe.seed, "model")
    with cpu_threads(recipe.train):
        strategy = experiment.fixed_strategy
        if experiment.searches:
            search_seed = derive_seed(recipe.seed, "model search")
            search_log = _epochs(progress, "search epoch", recipe.search.epochs)
            strategy = experiment.search(train, validation, search_seed, search_log).strategy
        model = experiment.make_model(strategy, seed)
        train_log = _epochs(progress, "training epoch", recipe.train.epochs)
        learnt, chosen_on = experiment.learns_from(train, validation)
        result = fit(
            model,
            experiment.data,
            learnt,
            chosen_on,
            recipe.train,
            seed,
            train_log,
            conditions=sorted(CONDITIONS, key=lambda c: c != recipe.evaluate.condition),
        )
    _attach_encoders(model, recipe)
    card = ModelCard(
        recipe=recipe,
        classes=experiment.classes,
        strategy=strategy,
        notes=experiment.notes(),
        validation_ua=result.best.ua,
    )
    save_model(out, model, card)
    return result


def _epochs(progress: Progress | None, what: str, total: int) -> Log:
    """A log that tells `progress` the epoch."""

    def log(facts: dict[str, Any]) -> None:
        if progress is not None:
            progress(what, facts["epoch"] + 1, total)

    return log


def _attach_encoders(model: MFAS, recipe: Recipe) -> None:
    """Put real encoders where stored frames stood in for them."""
    for name, section in (("sec", recipe.sec), ("tec", recipe.tec)):
        if section.encoder != NO_ENCODER and isinstance(getattr(model, name), StoredFrames):
            setattr(model, name, load_stream(name, section))
