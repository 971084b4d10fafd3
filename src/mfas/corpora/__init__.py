"""A folder becomes a manifest, and a manifest becomes folds that do not leak.

`adapters/` read the corpora as released, `synthetic` makes one, `conflict` another in which words and
prosody disagree as planned, `manifest_csv` is how they are kept, `check` decodes their audio, `folds`
and `inner` cut them, `leakage` guards the cuts.
"""

from mfas.corpora.adapters import ADAPTERS, adapt_corpus
from mfas.corpora.check import ManifestReport, Problem, check_manifest
from mfas.corpora.conflict import RULES, ConflictPlan, plan_conflict, synthesize_conflict
from mfas.corpora.folds import Fold, hold_out, make_folds
from mfas.corpora.leakage import Leak, find_leaks, guard
from mfas.corpora.manifest import Manifest, Utterance
from mfas.corpora.manifest_csv import read_manifest, write_manifest
from mfas.corpora.synthetic import Spoken, plan_corpus, speak, synthesize_corpus

__all__ = [
    "ADAPTERS",
    "RULES",
    "ConflictPlan",
    "Fold",
    "Leak",
    "Manifest",
    "ManifestReport",
    "Problem",
    "Spoken",
    "Utterance",
    "adapt_corpus",
    "check_manifest",
    "find_leaks",
    "guard",
    "hold_out",
    "make_folds",
    "plan_conflict",
    "plan_corpus",
    "read_manifest",
    "speak",
    "synthesize_conflict",
    "synthesize_corpus",
    "write_manifest",
]
