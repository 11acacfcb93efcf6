"""Engines: what their workers begin with and give back, and every refusal before they start."""

import pickle
import sys
from contextlib import contextmanager

import pytest
from specimen import SPEC

import featurekit as fk
from featurekit.backbones import load
from featurekit.core.errors import ConfigError, PluginError, UnknownNameError
from featurekit.core.sharding import Share
from featurekit.core.types import Job
from featurekit.pipeline import engines, run
from featurekit.pipeline.registry import load_plugin
from featurekit.pipeline.stages import unseen

SHARED = SPEC.replace("        presets=", '        shared=("smear",),\n        presets=')
PIPELINE = """
from featurekit.plugin import Result

def share(job, share, progress):
    progress(1, 2)
    return job.backbone.name, job.seed, str(share), job.workers is None

def run(job):
    told = []
    found = job.shared(share, progress=lambda *one: told.append(one))
    return Result("done", {"found": found, "told": told}, {})
"""


@pytest.fixture
def plugin(third_party):
    package = third_party(spec=SHARED)
    (package / "pipeline.py").write_text(PIPELINE)


@pytest.fixture
def two_workers(monkeypatch):
    """An engine of two workers, which are this process; what travels to them is copied."""
    asked = []

    def place(work, progress):
        return [pickle.loads(pickle.dumps(work))(Share(i, 2), progress) for i in range(2)]

    @contextmanager
    def start():
        asked.append("started")
        yield place
        asked.append("ended")

    def engine(workers, device):
        asked.append((workers, device))
        return start

    monkeypatch.setitem(engines.ENGINES, "ray", "stub:engine")
    monkeypatch.setattr(engines, "resolve", lambda target, of: engine)
    return asked


def record(tmp_path, *words, **given):
    words = ["plugin=blur", "backbone=random", f"out={tmp_path / 'out'}", *words]
    return fk.run(fk.compose(words), **given)


def test_without_an_engine_a_process_does_all_of_the_work(plugin, tmp_path):
    found = record(tmp_path, "seed=3")["metrics"]
    assert found == {"found": [["random", 3, "0/1", True]], "told": [[1, 2]]}


def test_each_worker_has_a_backbone_of_its_own_and_its_share(plugin, two_workers, tmp_path):
    found = record(tmp_path, "seed=3", "engine=ray", "workers=2", "device=cpu")
    assert found["metrics"]["found"] == [
        ["random", 3, "0/2", True], ["random", 3, "1/2", True]
    ]  # fmt: skip
    assert found["metrics"]["told"] == [[1, 2], [1, 2]]
    assert two_workers == [(2, "cpu"), "started", "ended"]
    assert (found["config"]["engine"], found["config"]["workers"]) == ("ray", 2)


def test_the_weights_that_workers_have_loaded_are_in_the_record(two_workers):
    weights = {}
    crew = Crew([(1, {"a": "x"}), (2, {"a": "x"})])
    workers = engines.Workers(crew.start, begun(), weights)
    assert workers(print, print) == [1, 2]
    assert weights == {"a": "x"}


class Crew:
    """An engine's workers that give what they are told to, and how often they began and ended."""

    def __init__(self, given=()):
        self.given, self.log = given, []

    @contextmanager
    def start(self):
        self.log.append("started")
        try:
            yield self.place
        finally:
            self.log.append("ended")

    def place(self, work, progress):
        self.log.append("worked")
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given


def test_workers_that_are_kept_start_once_and_end_with_the_block():
    crew = Crew()
    workers = engines.Workers(crew.start, begun(), {})
    with workers.kept():
        assert crew.log == []  # nothing may be missing
        workers(print, print)
        with workers.kept():
            workers(print, print)
        assert crew.log == ["started", "worked", "worked"]
    assert crew.log.pop() == "ended"
    workers(print, print)
    assert crew.log == ["started", "worked", "worked", "started", "worked", "ended"]


def test_workers_one_of_which_has_erred_are_asked_for_nothing_more():
    crew = Crew(ConfigError("a test"))
    workers = engines.Workers(crew.start, begun(), {})
    with workers.kept():
        with pytest.raises(ConfigError, match="a test"):
            workers(print, print)
        assert crew.log == ["started", "worked", "ended"]
        crew.given = [(1, {})]
        assert workers(print, print) == [1]
    assert crew.log[3:] == ["started", "worked", "ended"]


def test_a_worker_loads_the_backbone_of_its_run_once(plugin, monkeypatch):
    loaded = []
    monkeypatch.setattr(engines, "backbone_of", lambda settings: loaded.append(settings))
    for one in (begun("a"), begun("a"), begun("b")):
        engines._backbone_here(pickle.loads(pickle.dumps(one)))
    assert loaded == ["a", "a", "b"]  # three runs
    again = pickle.dumps(begun("c"))
    for _ in range(2):
        engines._backbone_here(pickle.loads(again))
    assert loaded[3:] == ["c"]


def begun(loading=None):
    job = Job(None, None, "t", None, "", 0, None, stage=unseen)
    return engines.Begun(job, "blur", loading)


def test_what_travels_has_no_bars_and_no_lines():
    made = engines.Workers(Crew().start, begun(), {})._begun
    assert pickle.loads(pickle.dumps(made)).plugin == "blur"
    with made.job.stage("x") as progress:
        progress(1, 2)


@pytest.mark.parametrize(
    ("words", "kind", "sentence"),
    [
        (["engine=spark"], UnknownNameError, "no engine named 'spark'"),
        (["workers=2"], ConfigError, "workers must go with an engine, got workers=2 alone"),
        (["engine=ray", "workers=-1"], ConfigError, "workers must be 0 or more, got -1"),
        (["engine=ray", "device=cuda:1"], ConfigError, "device must be auto, cpu or cuda"),
        (["engine=ray", "task=wait"], ConfigError, "got task=wait of .* it shares smear"),
    ],
)
def test_words_that_do_not_fit_are_refused_before_anything_is_loaded(
    plugin, tmp_path, monkeypatch, words, kind, sentence
):
    monkeypatch.setattr(run, "backbone_of", None)
    with pytest.raises(kind, match=sentence):
        record(tmp_path, *words)


def test_an_engine_that_is_not_installed_is_one_sentence(plugin, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "backbone_of", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"engine=ray needs .* pip install 'featurekit\[scale\]'"):
        record(tmp_path, "engine=ray")


def test_an_address_that_answers_nothing_is_refused_before_anything_is_loaded(
    plugin, tmp_path, monkeypatch
):
    pytest.importorskip("ray")
    monkeypatch.setattr(run, "backbone_of", None)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match="RAY_ADDRESS must be that of a running cluster"):
        record(tmp_path, "engine=ray")


def test_a_backbone_of_the_caller_s_is_refused(plugin, tmp_path):
    with pytest.raises(ConfigError, match="load the backbone in every worker, got one that is loa"):
        record(tmp_path, "engine=ray", backbone=load("random", "cpu"))


def test_tasks_that_are_shared_are_the_plugin_s(third_party):
    third_party(spec=SHARED.replace('shared=("smear",)', 'shared=("other",)'))
    with pytest.raises(PluginError, match=r"must share tasks that it has, smear, .* got other"):
        load_plugin("blur")
