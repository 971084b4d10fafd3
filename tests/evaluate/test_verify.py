"""`verify` finds every change to a run, and says where it is."""

import csv
import io

import pytest

from mfas.errors import RunError
from mfas.evaluate import verify_run
from mfas.storage import read_csv, read_json, sha256_of_file, write_csv, write_json


def change_csv(path, change):
    rows = read_csv(path)
    change(rows)
    write_csv(path, list(rows[0]), rows)


def change_json(path, change):
    content = read_json(path)
    change(content)
    write_json(path, content)


def forge_hashes(run):
    """What a careful forger does after a change: record the hashes of the changed files."""
    change_json(
        run / "result.json",
        lambda result: result["files"].update(
            {name: sha256_of_file(run / name) for name in result["files"]}
        ),
    )


def other_class(label):
    return "calm" if label != "calm" else "glad"


def test_a_fresh_run_passes(finished):
    assert verify_run(finished) == []


def test_a_moved_run_passes(finished, copied):
    assert verify_run(copied(finished)) == []


def predict_otherwise(rows):
    rows[3]["predicted"] = other_class(rows[3]["predicted"])


def more_probable(rows):
    rows[3]["p_calm"] = repr(float(rows[3]["p_calm"]) + 0.01)


def relabel(rows):
    rows[3]["label"] = other_class(rows[3]["label"])


def right_after_all(rows):
    """Turn a wrong prediction into a right one, probabilities and all."""
    row = next(row for row in rows if row["predicted"] != row["label"])
    given, true = f"p_{row['predicted']}", f"p_{row['label']}"
    row[given], row[true] = row[true], row[given]
    row["predicted"] = row["label"]


def drop(rows):
    del rows[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (predict_otherwise, "but its largest probability is"),
        (more_probable, "do not sum to 1"),
        (relabel, "label or speaker of ann/glad1.wav is not that of utterances.csv"),
        (right_after_all, "the predictions give"),
        (drop, "its rows are not the test utterances of folds.json"),
    ],
)
def test_a_changed_prediction_is_found_even_if_its_hash_is_forged(finished, copied, change, words):
    run = copied(finished)
    change_csv(run / "predictions.csv", change)
    assert "predictions.csv: has changed since the run (hash differs)" in verify_run(run)
    forge_hashes(run)
    faults = verify_run(run)
    assert not any("hash" in fault for fault in faults)
    assert any(words in fault for fault in faults)


def test_a_changed_fold_is_found(finished, copied):
    run = copied(finished)
    change_json(run / "folds.json", lambda folds: folds[0]["train"].append(folds[0]["test"].pop()))
    faults = verify_run(run)
    assert "folds.json: has changed since the run (hash differs)" in faults
    assert "folds.json: does not match folds_sha256" in faults
    assert "predictions.csv: its rows are not the test utterances of folds.json" in faults
    assert any(fault.startswith("result.json: says honest, but fold ann: ") for fault in faults)


@pytest.mark.parametrize(
    "name", ["recipe.toml", "environment.json", "utterances.csv", "log.jsonl", "strategies.json"]
)
def test_a_byte_more_is_found(finished, copied, name):
    run = copied(finished)
    with (run / name).open("a") as file:
        file.write("\n")
    assert f"{name}: has changed since the run (hash differs)" in verify_run(run)


def test_a_changed_pixel_is_found(finished, copied):
    run = copied(finished)
    figure = next((run / "figures").iterdir())
    content = bytearray(figure.read_bytes())
    content[len(content) // 2] ^= 1
    figure.write_bytes(content)
    assert verify_run(run) == [f"figures/{figure.name}: has changed since the run (hash differs)"]


@pytest.mark.parametrize("key", ["ua", "wa", "macro_f1"])
def test_a_polished_score_is_found(finished, copied, key):
    run = copied(finished)
    true = read_json(run / "result.json")[key]
    change_json(run / "result.json", lambda result: result.update({key: true + 0.001}))
    (fault,) = verify_run(run)
    assert fault == f"result.json: {key} is {true + 0.001}, the predictions give {true}"


def narrower(result):
    result["ua_ci95"] = [result["ua"], result["ua"]]


def without_mistakes(result):
    result["confusion"] = [[8, 0, 0], [0, 8, 0], [0, 0, 8]]


def better_fold(result):
    result["folds"][2]["ua"] = 0.99


def other_strategy(result):
    result["folds"][1]["strategy"]["level"] = {"last": "first"}.get(
        result["folds"][1]["strategy"]["level"], "last"
    )


def other_speakers(result):
    result["folds"][0]["test_speakers"] = ["eve"]


@pytest.mark.parametrize(
    ("change", "start"),
    [
        (narrower, "result.json: ua_ci95 is "),
        (without_mistakes, "result.json: confusion is "),
        (better_fold, "result.json: ua of fold cid is 0.99, the predictions give "),
        (other_strategy, "result.json: strategy of fold bob is not that of strategies.json"),
        (other_speakers, "result.json: test speakers of fold ann are not those of folds.json"),
        (lambda result: result.update(n_utterances=25), "result.json: n_utterances is 25"),
        (
            lambda result: result.update(protocol="loso"),
            "result.json: protocol is not the recipe's",
        ),
        (lambda result: result.update(selection="paper"), "result.json: selection is not the"),
        (lambda result: result.update(condition="adapted"), "result.json: condition is not the"),
        (lambda result: result.update(honest=False), "result.json: says optimistic, but nothing"),
        (lambda result: result["files"].pop("log.jsonl"), "log.jsonl: result.json records no hash"),
        (lambda result: result.update(manifest_sha256="0"), "utterances.csv: does not match"),
    ],
)
def test_any_other_change_of_the_result_is_found(finished, copied, change, start):
    run = copied(finished)
    change_json(run / "result.json", change)
    (fault,) = verify_run(run)
    assert fault.startswith(start)


def test_a_missing_file_is_named(finished, copied):
    run = copied(finished)
    recorded = read_json(run / "result.json")["files"]
    assert len(recorded) > 7
    for name in recorded:
        content = (run / name).read_bytes()
        (run / name).unlink()
        assert verify_run(run) == [f"{name}: is missing"]
        (run / name).write_bytes(content)


def test_what_is_no_finished_run_is_refused(finished, copied, tmp_path):
    with pytest.raises(RunError, match=r"no finished run \(no result.json\)"):
        verify_run(tmp_path / "nothing")
    run = copied(finished)
    (run / "predictions.csv").write_text("fold,file\n")
    with pytest.raises(RunError) as raised:
        (run / "result.json").write_text("{")
        verify_run(run)
    assert "cannot be read" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_predictions_read_back_to_the_last_bit(finished):
    text = (finished / "predictions.csv").read_text()
    for row in csv.DictReader(io.StringIO(text)):
        for name in ("p_calm", "p_glad", "p_tense"):
            assert repr(float(row[name])) == row[name]
