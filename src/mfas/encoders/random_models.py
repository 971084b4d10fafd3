"""Hugging Face models with random weights, written to a folder.

They stand in for models that cannot be downloaded: the base size shows that a machine can run the
paper's encoders, the tiny one is for tests. Their config.json says that they are untrained, and
results say so too.
"""

from pathlib import Path
from typing import Any, Literal

from transformers import AutoConfig, AutoModel

from mfas.encoders.huggingface import UNTRAINED, write_model_folder
from mfas.encoders.seeds import seeded

Kind = Literal["wav2vec2", "data2vec-audio", "hubert", "wavlm"]
Size = Literal["base", "tiny"]
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [32] * 7,
    "num_conv_pos_embedding_groups": 4,
}


def save_random_huggingface(
    kind: Kind, folder: Path, seed: int, size: Size = "base", **overrides: Any
) -> None:
    """Write a model of `kind` with weights from `seed` to `folder`.

    base is the shape of wav2vec2-base, data2vec-audio-base, hubert-base or wavlm-base, which are
    transformers' defaults. `overrides` are keys of its config, as `feat_extract_norm="layer"`.
    """
    folder = Path(folder)
    settings = {**(TINY if size == "tiny" else {}), **overrides, UNTRAINED: True}
    config = AutoConfig.for_model(kind, **settings)
    with seeded(seed):
        model = AutoModel.from_config(config)
    write_model_folder(model, folder, normalise=True)
