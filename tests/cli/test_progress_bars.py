"""The bar of long work: on a terminal how far it is, elsewhere a line at each end."""

from featurekit.cli.progress_bars import bar


def work():
    with bar("storing") as progress:
        for done in range(4):
            progress(done, 3)


def test_a_terminal_is_told_how_far_it_is(monkeypatch, capfd):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    work()
    out, err = capfd.readouterr()
    assert out == ""
    assert "storing" in err
    assert "3/3" in err


def test_elsewhere_a_line_stands_at_each_end(monkeypatch, capfd):
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    work()
    assert capfd.readouterr() == ("", "storing ...\nstoring: 0.0 s\n")
