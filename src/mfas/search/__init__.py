"""Which strategy? Searchers behind one interface (arXiv 2306.09361, section 5.1).

A `SearchProblem` enters, a `SearchResult` (a strategy and the evidence for it) leaves. Searchers
see inner-training and inner-validation utterances only.
"""

from mfas.search.candidates import search_exhaustive, search_random
from mfas.search.darts import search_darts
from mfas.search.perturbation import search_perturbation
from mfas.search.problem import Searcher, SearchProblem, SearchResult
from mfas.search.single_path import search_single_path

SEARCHERS: dict[str, Searcher] = {
    "darts": search_darts,
    "single_path": search_single_path,
    "perturbation": search_perturbation,
    "random": search_random,
    "exhaustive": search_exhaustive,
}

__all__ = ["SEARCHERS", "SearchProblem", "SearchResult", "Searcher"]
