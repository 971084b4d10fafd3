"""x"""


def test_a(finished, log_lines):
    for o in ("continuous", "quantised", "ctc"):
        f = finished(o)
        print(f, [p.name for p in f.iterdir()])
        print(*log_lines(f), sep="\n")
        print((f / "result.json").read_text())
    assert 0
