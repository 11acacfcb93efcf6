"""The command line: exit codes, one sentence per mistake, what it costs to start, completion."""

import errno
import os
import re
import subprocess
import sys
from textwrap import dedent

import pytest
from PIL import Image
from specimen import SPEC
from spoken import sentence

from featurekit.cli.router import AWAKE, COMMANDS, main


def one_sentence(capfd):
    out, err = capfd.readouterr()
    assert out == ""
    return sentence(err)


def test_help_lists_every_command_and_each_exists(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_nothing_said_is_a_mistake_that_shows_the_help(capsys):
    assert main([]) == 2
    assert "usage: featurekit COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"featurekit {name}: {COMMANDS[name].summary}\n")


def test_the_version_is_that_of_the_distribution(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"featurekit \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_plugins_are_listed_with_their_owners(third_party, capsys):
    third_party()
    assert main(["plugins"]) == 0
    assert re.search(r"(?m)^blur +blurry +0\.3 +blurry_", capsys.readouterr().out)


def test_taps_are_listed_one_a_line(capsys):
    assert main(["taps", "backbone=sd15"]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert not [row for row in rows if row != row.rstrip()]
    assert title.split() == ["tap", "role", "channels", "stride", "px", "module", "path"]
    assert ["mid", "mid", "1280", "64", "mid_block"] in [row.split() for row in rows]


def test_taps_may_be_asked_for_by_role_and_glob(capsys):
    assert main(["taps", "backbone=sdxl", "taps=[cross_q,up*]"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 70 + 3
    assert rows[-1].split() == ["up2", "up", "320", "8", "up_blocks.2"]


def test_a_plugins_command_is_listed_found_run_and_its_exit_code_kept(third_party, capsys):
    third_party()
    assert main(["--help"]) == 0
    assert re.search(r"(?m)^  blur-look +of plugin blur$", capsys.readouterr().out)
    assert main(["blur-look", "a=1"]) == 1
    assert capsys.readouterr().out == "bench ['a=1']\n"


def test_a_bench_is_found_run_and_its_exit_code_kept(third_party, capsys):
    third_party()
    assert main(["bench"]) == 0
    assert re.search(r"(?m)^blur-speed +blur", capsys.readouterr().out)
    assert main(["bench", "blur-speed", "a=1", "b=2", "c=3"]) == 3
    assert capsys.readouterr().out == "bench ['a=1', 'b=2', 'c=3']\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plugn"], r"no command named 'plugn'; did you mean plugins\?"),
        (
            ["frobnicate"],
            "no command named 'frobnicate'; known: analyse, bench, blur-look, doctor, extract, "
            "fit-prior, invert, pck, plugins, run, scenes, sketch-table, ...",
        ),
        (["plugins", "now"], "featurekit plugins takes no words, got 'now'"),
        (["taps", "backbone=sd16"], "no backbone named 'sd16'; did you mean sd"),
        (["taps", "backbon=sd15"], "no setting named 'backbon'; did you mean backbone"),
        (["taps", "sd15"], "must be written key=value, got 'sd15'"),
        (["bench", "blur-sped"], r"no bench named 'blur-sped'; did you mean blur-speed\?"),
        (["extract"], "image must be given, found nothing; add image="),
        (["run"], "a run needs a plugin, got none; add plugin=NAME, known: blur"),
        (["run", "-m", "seed=1,2"], "a run needs a plugin, got none"),
        (["run", "plugin=blurr"], r"no plugin named 'blurr'; did you mean blur\?"),
        (
            ["run", "plugin=blur", "--confg", "job"],
            "no flag named '--confg'; did you mean --cfg",
        ),
        (["run", "plugin=blur", "--cfg=jub"], "no topic of --cfg named 'jub'; did you mean job"),
        (["run", "plugin=blur", "-cd"], "-cd needs a value after it, got none"),
        (["run", "plugin=blur", "sed=1"], r"no setting named 'sed'; did you mean seed\?"),
        (["run", "plugin=blur", "task=smeer"], r"no task named 'smeer'; did you mean smear\?"),
        (["run", "plugin=blur", "backbone=sd16"], "no backbone named 'sd16'"),
        (["run", "plugin=blur", "seed=-1"], "seed must lie in 0 to 9223372036854775807, got -1"),
        (["run", "plugin=blur", f"seed={2**63}"], "seed must lie in 0 .*, got 9223372036854775808"),
        (["run", "plugin=blur", "seed=many"], "seed must be a whole number, got 'many'"),
        (
            ["run", "plugin=blur", "seed=1,2"],
            "seed takes one value, got 1,2; several, with commas, are",
        ),
        (["run", "plugin=blur", "out=/proc/x"], "results must be writable to '/proc/x'"),
        (["run", "-m", "plugin=blur", "out=/proc/x"], "results must be writable to '/proc/x'"),
        (["run", "plugin=blur", "backbone=random", "task=refuse"], r"handle must .* got \(9, 9\)"),
        (["run", "plugin=blur", "backbone=no/where/at/all"], "no/where/at/all"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(
    third_party, capfd, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    third_party()
    assert main(words) == 2
    assert re.search(message, one_sentence(capfd))


LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["store", "stat", LONG],
        ["store", "verify", f"{LONG}/{LONG}"],
        ["extract", f"image={LONG}", "backbone=random"],
        ["extract", "image=me.png", f"store={LONG}", "backbone=random"],
        ["extract", "image=me.png", f"out={LONG}", "backbone=random"],
        ["invert", "image=me.png", f"out={LONG}", "backbone=random"],
        ["invert", f"image={LONG}", "backbone=random"],
        ["taps", f"backbone=./{LONG}"],
        ["analyse", "norms", f"images={LONG}", "backbone=random"],
        ["scenes", f"out={LONG}"],
        ["run", "plugin=blur", f"out={LONG}"],
        ["run", "plugin=blur", f"image={LONG}", "backbone=random", "out=x"],
        ["run", "plugin=blur", f"backbone=./{LONG}", "out=x"],
        ["doctor", f"out={LONG}"],
    ],
)
def test_a_name_that_is_too_long_is_one_sentence(third_party, capfd, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    third_party()
    Image.new("RGB", (16, 16)).save("me.png")
    code = main(words)
    if code == 0:  # the specimen looks at no picture
        assert "image=" in words[2]
        return
    assert code == 2
    err = capfd.readouterr().err
    assert err.splitlines()[-1].startswith("featurekit: ")
    assert len(err.splitlines()[-1]) < 1000


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.ENOTDIR, "choose a path whose parents are folders"),
        (errno.EACCES, "choose a folder that you may write to"),
        (errno.EROFS, "choose a folder that you may write to"),
        (errno.ENOSPC, "free some space or choose another folder"),
    ],
)
def test_a_path_that_the_system_refuses_is_one_sentence_wherever(
    third_party, capfd, number, advice
):
    package = third_party()
    (package / "pipeline.py").write_text(
        f"def bench(words):\n    raise OSError({number}, 'no', '/some/where')\n"
    )
    assert main(["bench", "blur-speed"]) == 2
    told = f"a file or folder must be usable, but '/some/where' is not: no; {advice}"
    assert told in one_sentence(capfd)
    with pytest.raises(OSError, match="no: '/some/where'"):
        main(["bench", "blur-speed", "--debug"])


def test_a_file_that_is_missing_is_a_mistake_of_ours(third_party):
    package = third_party()
    (package / "pipeline.py").write_text("def bench(words):\n    open('/no/where')\n")
    with pytest.raises(FileNotFoundError):
        main(["bench", "blur-speed"])


@pytest.mark.parametrize(
    ("word", "package"),
    [
        ("hydra/launcher=ray", "hydra-ray-launcher"),
        ("hydra/launcher=rq", "hydra-rq-launcher"),
        ("hydra/sweeper=optuna", "hydra-optuna-sweeper"),
    ],
)
def test_a_launcher_that_is_not_installed_is_told_what_brings_it(third_party, capfd, word, package):
    third_party()
    assert main(["run", "plugin=blur", word, "-m", "seed=1,2"]) == 2
    group, _, name = word.partition("=")
    assert f"no {group} named '{name}'" in (told := one_sentence(capfd))
    assert f"pip install {package} brings it" in told


def test_a_broken_plugin_is_named_with_its_distribution(third_party, capfd):
    third_party("torn", owner="ragged", spec="import no_such_module_anywhere")
    assert main(["run", "plugin=torn"]) == 2
    assert "plugin 'torn' of ragged 0.3 must import" in one_sentence(capfd)


def test_an_error_of_several_lines_is_told_in_one(third_party, capfd):
    third_party("torn", owner="ragged", spec="raise ValueError('two\\nlines')")
    assert main(["run", "plugin=torn"]) == 2
    assert "ValueError: two lines; update" in one_sentence(capfd)


def test_a_bench_of_two_plugins_is_refused_with_both(third_party, capfd):
    third_party()
    third_party("smear", owner="smeary", spec=SPEC.replace('"blur"', '"smear"'))
    assert main(["bench", "blur-speed"]) == 2
    assert "one owner, but 'blur-speed' is of blur, smear" in one_sentence(capfd)


def test_a_bench_that_is_not_found_may_be_that_of_a_broken_plugin(third_party, capfd):
    third_party("torn", owner="ragged", spec="import no_such_module_anywhere")
    assert main(["bench", "torn-speed"]) == 2
    assert "plugin 'torn' of ragged 0.3 must import" in one_sentence(capfd)


def test_debug_lets_the_error_through(third_party):
    with pytest.raises(LookupError, match="no command named 'plugn'"):
        main(["plugn", "--debug"])


@pytest.mark.parametrize(
    "chosen", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "infinity"}]
)
def test_threads_soon_sleep_while_they_wait_unless_somebody_chose_otherwise(monkeypatch, chosen):
    for name in AWAKE:
        monkeypatch.setenv(name, "")  # so that what main sets is undone
        monkeypatch.delenv(name)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    main(["--version"])
    assert {name: os.environ[name] for name in AWAKE if name in os.environ} == (chosen or AWAKE)


# start-up

LIGHT = [
    ["--help"],
    ["plugins"],
    ["taps"],
    ["bench"],
    ["extract", "--help"],
    ["run", "--help"],
    ["run", "--cfg", "job"],
    ["run", "--cfg", "job", "plugin=drag"],
    ["run", "plugin=dragg"],
]


def test_commands_that_compute_nothing_import_nothing_heavy():
    code = f"""
        import contextlib, io, sys
        from featurekit.cli.router import main
        for words in {LIGHT}:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
                main(words)
            heavy = {{"torch", "diffusers", "transformers", "matplotlib"}} & set(sys.modules)
            if heavy:
                sys.exit(f"{{words}} imported {{heavy}}")
    """
    result = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def told_to(stdout):
    """List the plugins into a stdout that is buffered, as it is for a program in a pipe."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-m", "featurekit", "plugins"],
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=plain,
    )  # fmt: skip


def test_a_full_terminal_is_a_sentence_too():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = told_to(full)
    assert result.returncode == 2
    assert result.stderr == (
        "featurekit: the terminal's output must be writable, but No space left on device\n"
    )


def test_a_reader_that_leaves_early_is_no_mistake():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        result = told_to(pipe)
    assert (result.returncode, result.stderr) == (0, "")


# completion


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("featurekit ", {*COMMANDS, "fit-prior", "sketch-table", "blur-look"}),
        ("featurekit pl", {"plugins"}),
        ("featurekit taps ", set()),
        ("featurekit run plugin=", {"plugin=blur", "plugin=none"}),
        ("featurekit run plugin=blur plugin.ra", {"plugin.radius="}),
        ("featurekit run backbone=sd", {"backbone=sd15", "backbone=sd21"}),
    ],
)
def test_the_shell_completes(third_party, monkeypatch, capsys, line, offered):
    third_party()
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    monkeypatch.setattr(sys, "argv", ["featurekit"])
    assert main(["-sc", "query=bash"]) == 0
    found = set(capsys.readouterr().out.split())
    assert found == offered if "run" not in line else found >= offered


def test_the_shells_script_asks_this_program(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/some/where/featurekit"])
    assert main(["-sc", "install=bash"]) == 0
    assert "hydra_bash_completion featurekit\n" in capsys.readouterr().out
