import pytest

from mfas.corpora.labels import choose_labels, nearest_hint
from mfas.errors import ManifestError


def test_merge_renames_before_classes_apply():
    chosen = choose_labels(
        ["angry", "excited", "happy", "sad"], ["happy", "sad"], {"excited": "happy"}, "m.csv"
    )
    assert chosen == {"excited": "happy", "happy": "happy", "sad": "sad"}


def test_without_classes_every_label_is_kept_and_renaming_is_not_chained():
    assert choose_labels(["a", "b"], [], {"a": "b", "b": "c"}, "m.csv") == {"a": "b", "b": "c"}


@pytest.mark.parametrize(
    ("classes", "merge", "message"),
    [
        (["hapy"], {}, r"m\.csv: corpus\.classes names 'hapy'.*did you mean happy\?"),
        ([], {"exited": "happy"}, r"m\.csv: corpus\.merge renames 'exited'.*did you mean excited"),
        (["excited"], {"excited": "happy"}, r"classes names 'excited', which no utterance has"),
    ],
)
def test_unknown_names_get_the_nearest_known_one(classes, merge, message):
    with pytest.raises(ManifestError, match=message):
        choose_labels(["excited", "happy"], classes, merge, "m.csv")


def test_hint_lists_all_when_nothing_is_near():
    assert nearest_hint("xyz", {"b", "a"}) == "choose from a, b"
