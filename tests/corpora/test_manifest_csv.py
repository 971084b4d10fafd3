import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfas.corpora import Manifest, Utterance, read_manifest, write_manifest
from mfas.errors import ManifestError

words = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12
).filter(lambda text: text == text.strip())
passages = st.lists(words, min_size=1, max_size=3).map("\n".join)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def utterances(draw) -> Utterance:
    file = draw(st.text(string.ascii_letters + string.digits + " ,'", min_size=1, max_size=9))
    start = draw(st.none() | st.floats(0, 100))
    return Utterance(
        file=f"{file.strip()}.wav",
        path=Path(),
        speaker=draw(words),
        label=draw(words),
        session=draw(st.none() | words),
        valence=draw(st.none() | numbers),
        text=draw(st.none() | passages),
        start=start,
        end=draw(st.none() | st.floats((start or 0.0) + 0.5, 200)),
    )


def position(utterance: Utterance) -> tuple[str, float | None, float | None]:
    return utterance.file, utterance.start, utterance.end


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(utterances(), min_size=1, max_size=6, unique_by=position))
def test_what_is_written_is_read_again(tmp_path, rows):
    placed = tuple(replace(row, path=tmp_path / "audio" / row.file) for row in rows)
    write_manifest(Manifest(placed), tmp_path / "m.csv")
    read = read_manifest(tmp_path / "m.csv")
    expected = Manifest(tuple(replace(row, file=f"audio/{row.file}") for row in placed))
    assert read == expected


def written_file(tmp_path: Path, audio: Path) -> str:
    manifest = tmp_path / "here" / "m.csv"
    write_manifest(Manifest((Utterance("x", audio, "s", "a"),)), manifest)
    assert read_manifest(manifest).utterances[0].path == audio
    return read_manifest(manifest).utterances[0].file


def test_near_files_are_written_relative_and_far_ones_absolute(tmp_path):
    assert written_file(tmp_path, tmp_path / "here/a/b.wav") == "a/b.wav"
    assert written_file(tmp_path, tmp_path / "there/b.wav") == "../there/b.wav"
    assert written_file(tmp_path, Path("/elsewhere/b.wav")) == "/elsewhere/b.wav"


def test_names_of_linked_files_are_kept(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "hash").touch()
    (tmp_path / "03a01Fa.wav").symlink_to(tmp_path / "store" / "hash")
    write_manifest(
        Manifest((Utterance("x", tmp_path / "03a01Fa.wav", "s", "a"),)), tmp_path / "m.csv"
    )
    assert read_manifest(tmp_path / "m.csv").utterances[0].file == "03a01Fa.wav"


def test_only_columns_in_use_are_written(tmp_path, corpus):
    write_manifest(corpus(), tmp_path / "m.csv")
    header = (tmp_path / "m.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "file,speaker,label,session,text"


def read(tmp_path: Path, content: str | bytes) -> Manifest:
    raw = content.encode() if isinstance(content, str) else content
    (tmp_path / "m.csv").write_bytes(raw)
    return read_manifest(tmp_path / "m.csv")


def test_columns_come_in_any_order_with_spaces_and_extras(tmp_path):
    manifest = read(
        tmp_path, "\ufeff,label, speaker ,file_name,extra\r\n0,a, s ,x/1.wav,9\r\n1,b,t,/y.wav,\r\n"
    )
    assert [(u.file, u.path, u.speaker, u.label) for u in manifest] == [
        ("/y.wav", Path("/y.wav"), "t", "b"),
        ("x/1.wav", tmp_path / "x/1.wav", "s", "a"),
    ]
    assert manifest.path == tmp_path / "m.csv"


def test_parts_of_one_file_are_no_duplicates(tmp_path):
    manifest = read(tmp_path, "file,speaker,label,start,end\na,s,x,1.5,3\na,s,x,0,1.5\na,s,x,,\n")
    assert [(u.start, u.end) for u in manifest] == [(0, 1.5), (None, None), (1.5, 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"m\.csv: empty; the first line must be file,speaker,label"),
        ("\n\n", r"m\.csv: empty"),
        ("file,speaker,label\n", r"has a header but no rows"),
        ("file,speaker\na,s\n", r"no column label in its header \(file,speaker\); add it"),
        ("a.wav,s1,happy\n", r"no column file, speaker, label in its header \(a\.wav,s1,happy\)"),
        ("file,speakers,label\na,s,x\n", r"no column speaker .*add it or rename speakers"),
        ("file;speaker;label\na;s;x\n", r"separate the columns by commas"),
        ("file,speaker,label,label\na,s,x,y\n", r"column 'label' is there twice"),
        ("file,speaker,label\na,s,x\n\na,s,y\n", r"line 4: a is already on line 2"),
        ("file,speaker,label\na,s,x\nb/../a,s,y\n", r"line 3: b/\.\./a is already on line 2"),
        ("file,speaker,label\na,,x\n", r"line 2: speaker is empty"),
        ("file,speaker,label\na,s\n", r"line 2: label is empty"),
        ("file,speaker,label\na,s, \n", r"line 2: label is empty"),
        ("file,speaker,label\na,s,x,more\n", r"line 2: has more cells than the header"),
        ("file,speaker,label,valence\na,s,x,high\n", r"line 2: valence is 'high', not a number"),
        ("file,speaker,label,start\na,s,x,nan\n", r"line 2: start is 'nan', not a number"),
        ("file,speaker,label,start,end\na,s,x,2,2\n", r"line 2: start 2 s, end 2 s; give 0 <="),
        ("file,speaker,label,start\na,s,x,-1\n", r"line 2: start -1 s"),
        ('file,speaker,label\na,s,"x\n', r"line 2: not valid CSV"),
        (b"file,speaker,label\na,s,f\xfcr\n", r"m\.csv: not UTF-8 text"),
    ],
)
def test_bad_content_is_one_line_that_names_file_and_fault(tmp_path, content, message):
    with pytest.raises(ManifestError, match=message) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "m.csv"))
    assert "\n" not in str(caught.value)


def test_missing_manifest_and_folder(tmp_path):
    with pytest.raises(ManifestError, match=r"gone\.csv: no such manifest"):
        read_manifest(tmp_path / "gone.csv")
    with pytest.raises(ManifestError, match=r"is a folder; name the manifest in it"):
        read_manifest(tmp_path)


def test_speech_for_pretraining_needs_no_label(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("file,speaker\na.wav,ann\n", encoding="utf-8")
    (utterance,) = read_manifest(manifest, labelled=False)
    assert (utterance.file, utterance.speaker, utterance.label) == ("a.wav", "ann", "")
    with pytest.raises(ManifestError, match="no column label in its header"):
        read_manifest(manifest)
    manifest.write_text("file,speaker,label,text\na.wav,ann,,\nb.wav,bob,sad,hm\n", "utf-8")
    first, second = read_manifest(manifest, labelled=False)
    assert (first.label, first.text) == ("", None)
    assert (second.label, second.text) == ("sad", "hm")
    with pytest.raises(ManifestError, match="line 2: label is empty"):
        read_manifest(manifest)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("file,label\na.wav,sad\n", "no column speaker in its header"),
        ("file,speaker\na.wav,\n", "line 2: speaker is empty"),
        ("file,speaker\na.wav,a\na.wav,b\n", "line 3: a.wav is already on line 2"),
        ("", "empty; the first line must be file,speaker$"),
    ],
)
def test_everything_else_is_asked_of_it_all_the_same(content, said, tmp_path):
    (tmp_path / "m.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ManifestError, match=said):
        read_manifest(tmp_path / "m.csv", labelled=False)
