"""Make the model that `mfas predict` uses when none is named: python tools/default_model.py emodb.csv

Trains recipes/emodb-compact.toml on all of EMO-DB, for both conditions, and puts the result into the
package, without the encoders: they are in the package already, and the model's config proves by
fingerprint that they are the ones it was trained with.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from mfas.config import read_recipe
from mfas.encoders.load import SHIPPED
from mfas.evaluate import train_model
from mfas.recognize.recognizer import DEFAULT_MODEL
from mfas.storage import read_json, write_json

RECIPE = Path(__file__).parents[1] / "recipes" / "emodb-compact.toml"


def main(manifest: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        result = train_model(read_recipe(RECIPE, ["--corpus.manifest", manifest]), model)
        config = read_json(model / "config.json")
        config["recipe"]["corpus"]["manifest"] = "emodb.csv"  # not where it lay here
        for stream, facts in config["encoders"].items():
            assert config["recipe"][stream]["encoder"] in SHIPPED, "the package holds no other"
            facts["stored"] = False
        shutil.copyfile(model / "model.safetensors", DEFAULT_MODEL / "model.safetensors")
        write_json(DEFAULT_MODEL / "config.json", config)
    print(f"{DEFAULT_MODEL}: epoch {result.best_epoch}, inner UA {100 * result.best.ua:.1f} %")


if __name__ == "__main__":
    main(*sys.argv[1:])
