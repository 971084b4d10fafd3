"""A section of the recipe becomes an encoder: one of ours, a local folder, or a Hub model."""

import logging
import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mfas.config import EncoderSection
from mfas.encoders.base import Role, SpeechEncoder
from mfas.encoders.settings import COMPACT, TABLE1
from mfas.encoders.transformer import CONFIG_FILE, TransformerEncoder
from mfas.errors import ModelError
from mfas.storage import read_json

RANDOM = {"compact": COMPACT, "table1": TABLE1}  # weights that follow from a seed
SHIPPED_FOLDER = Path(__file__).parent / "shipped"
SHIPPED = ("sec-compact", "tec-compact")  # weights inside the package; each has a model card
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_log = logging.getLogger(__name__)


def load_encoder(section: EncoderSection, role: Role) -> SpeechEncoder:
    """The encoder that `section` names, for `role`; frozen unless the section says finetune.

    "sec-compact" and "tec-compact" are pretrained and come with mfas; "compact" and "table1" get
    random weights from the section's seed. A folder holds one of our
    encoders or a Hugging Face model; anything else is an id of the Hub, whose commit `revision`
    pins. Raises `ModelError` for what is missing, unreachable or of an unsupported architecture.
    """
    encoder = _load(section, role)
    return encoder.train() if section.finetune else encoder.freeze()


def _load(section: EncoderSection, role: Role) -> SpeechEncoder:
    name = section.encoder
    if name in RANDOM:
        return TransformerEncoder(RANDOM[name], role, section.seed)
    if name in SHIPPED:
        return TransformerEncoder.load(SHIPPED_FOLDER / name, role)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _download(name, section.revision)
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"{name}: has no {CONFIG_FILE}; name a folder that holds an encoder")
    if "mfas_encoder" in _described(folder, name):
        return TransformerEncoder.load(folder, role)
    from mfas.encoders.huggingface import HuggingFaceEncoder  # seconds to import; ours need none

    return HuggingFaceEncoder(folder, role, name)


def _described(folder: Path, name: str) -> dict[str, object]:
    try:
        described = read_json(folder / CONFIG_FILE)
    except ValueError as error:
        raise ModelError(f"{name}: {CONFIG_FILE} is not valid JSON; copy it again") from error
    return described if isinstance(described, dict) else {}


def _download(name: str, revision: str | None) -> Path:
    """The local folder of a Hub model; a pinned commit that was fetched before needs no network."""
    if not _HUB_ID.fullmatch(name):
        known = ", ".join((*SHIPPED, *RANDOM))
        raise ModelError(
            f"{name}: no such folder; name {known}, a folder with an encoder, or a Hub id such as "
            "facebook/wav2vec2-base-960h"
        )
    wanted = [
        CONFIG_FILE,
        "preprocessor_config.json",
        "processor_config.json",
        "model*.safetensors",
        "model.safetensors.index.json",
    ]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except GatedRepoError as error:
        raise ModelError(
            f"{name}: the Hub wants consent; accept there, then hf auth login"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(f"{name}: no such folder or Hub model; check the name") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{name}: has no revision {revision}; check it on the Hub") from error
    except OSError as error:
        raise ModelError(
            f"{name}: no such folder, and the Hub cannot be reached; go online once, or download "
            "the model elsewhere and name its folder"
        ) from error
    if revision is None or not _COMMIT.fullmatch(revision):
        _log.warning("%s is not pinned; set its revision to %s", name, folder.name)
    return folder
