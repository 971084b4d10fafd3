"""mfas: speech emotion recognition by multiple-perspective fusion architecture search.

The system of arXiv 2306.09361 and an honest bench around it. Follow one recording through the
rooms: `audio` reads it, `corpora` labels it, `encoders` turn it into SEC and TEC frames, `fusion`
adjusts one by the other, `heads` classify, `search` finds the adjustment, `evaluate` measures,
`report` shows, `recognize` predicts.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfas.corpora import Manifest as Manifest
    from mfas.corpora import read_manifest as read_manifest
    from mfas.recognize import Prediction as Prediction
    from mfas.recognize import Recognizer as Recognizer

__version__ = version("mfas")

_ROOMS = {
    "Manifest": "mfas.corpora",
    "read_manifest": "mfas.corpora",
    "Prediction": "mfas.recognize",
    "Recognizer": "mfas.recognize",
}
__all__ = ["Manifest", "Prediction", "Recognizer", "__version__", "read_manifest"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that `import mfas` stays quick."""
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'mfas' has no attribute {name!r}")
