"""Chief and worker over gRPC, both in this process; the score is a formula."""

import threading
from types import SimpleNamespace

import grpc
import pytest
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_client

from pipeline.cli import main
from pipeline.config.schema import LogRange, TuneSection
from pipeline.core.errors import ConfigError, StageError
from pipeline.training.precision import Execution
from pipeline.tuning.search import Search
from pipeline.tuning.workers import chief as shared
from pipeline.tuning.workers import worker
from pipeline.tuning.workers.chief import SharedSearch
from pipeline.tuning.workers.grpc_server import local_address, serving
from pipeline.tuning.workers.worker import Worker
from tests.training.test_stages import SMALL

SECTION = TuneSection(
    enabled=True,
    max_trials=4,
    workers=2,
    space={"train.learning_rate": LogRange(log=(1e-4, 1e-1))},
)


class Nobody:
    def tend(self):
        return ()

    def started(self, worker):
        return False


def score(values, epochs, execution=None):
    return values["train.learning_rate"] / 3


@pytest.fixture
def chief(tmp_path):
    """A search that is served until the test ends, and where."""
    folder = tmp_path / "chief"
    folder.mkdir()
    search = SharedSearch(
        SECTION, 0, folder, lambda trial, best: None, Execution("float32", False, "")
    )
    with serving(search, "the-name", None) as address:
        yield search, address


def work(address, folder, monkeypatch, score=score, name="the-name-1"):
    for key in ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"):
        monkeypatch.setenv(key, "")  # so that it is put back
    monkeypatch.setattr(oracle_client, "TIMEOUT", 60)
    monkeypatch.setenv("no_grpc_proxy", "")
    folder.mkdir()
    worker.find_chief(address, 10)
    worker.tell_keras_tuner(address, name)
    material = SimpleNamespace(config=SimpleNamespace(tune=SECTION), score=score)
    Worker(material, folder).search()


def test_the_trials_and_their_scores_are_those_of_a_search_without_workers(
    chief, tmp_path, monkeypatch
):
    search, address = chief
    found = []
    waiting = threading.Thread(target=lambda: found.extend(search.run(Nobody())))
    waiting.start()
    work(address, tmp_path / "worker", monkeypatch)
    waiting.join(timeout=30)
    monkeypatch.undo()
    alone = tmp_path / "alone"
    alone.mkdir()
    assert found == Search(SECTION, 0, alone, score, lambda trial, best: None).run()
    assert len(list((tmp_path / "worker").glob("trial-*"))) == 4


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ConfigError("model.filters is 0"), ConfigError, r"^model\.filters is 0$"),
        (OSError("no such file"), StageError, r"^no such file$"),
        (RuntimeError("no device"), StageError, r"three trials in a row .*: RuntimeError: no dev"),
    ],
)
def test_what_fails_at_a_worker_fails_as_without_workers(
    chief, tmp_path, monkeypatch, error, kind, message
):
    def fail(values, epochs, execution):
        raise error

    search, address = chief
    work(address, tmp_path / "worker", monkeypatch, score=fail)
    with pytest.raises(kind, match=message):
        search.run(Nobody())


def test_divergences_at_workers_end_a_search_as_they_do_without_workers(
    chief, tmp_path, monkeypatch
):
    def diverge(values, epochs, execution):
        raise StageError("train: the loss became nan; x")

    search, address = chief
    work(address, tmp_path / "worker", monkeypatch, score=diverge)
    assert {trial.why for trial in search.run(Nobody())} == {"the loss became nan"}
    assert search.best() is None


def test_a_worker_of_another_search_is_refused_in_one_line(chief, tmp_path, monkeypatch):
    search, address = chief
    with pytest.raises(grpc.RpcError) as raised:
        work(address, tmp_path / "worker", monkeypatch, name="another-1")
    refused = worker.in_words(raised.value, address)
    assert type(refused) is ConfigError
    assert str(refused).startswith("the search there is another: its config, overrides, data,")
    assert search.trials() == []


def test_the_command_that_joins_another_search_is_refused_and_never_says_that_it_joined(
    chief, tmp_path, capsys
):
    search, address = chief
    said = r"^tune: a worker cannot work: the search there is another: its config, overrides, data,"
    with pytest.raises(ConfigError, match=said):
        main.app(
            ["run", *SMALL, "--join", address, "--artifacts", str(tmp_path / "near")],
            standalone_mode=False,
        )
    told = capsys.readouterr().out
    assert f"waiting for the search at {address}, up to 10 minutes\n" in told
    assert "joined" not in told
    assert search.trials() == []


def test_signs_of_life_reach_the_chief(chief, tmp_path, monkeypatch):
    search, address = chief
    heard = threading.Event()
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(search, "hear", lambda identifier: heard.set())

    def long(values, epochs, execution):
        assert heard.wait(30)
        return 0.5

    work(address, tmp_path / "worker", monkeypatch, score=long)
    assert [trial.score for trial in search.trials()] == [0.5] * 4


def test_without_a_chief_a_worker_says_so():
    message = (
        r"^nobody answered at 127\.0\.0\.1:9 for 0\.1 s: the search has ended, or was not started "
        r"with tune\.address=127\.0\.0\.1:9, or its port is not let through; see there$"
    )
    with pytest.raises(StageError, match=message):
        worker.find_chief("127.0.0.1:9", 0.1)


def test_a_chief_that_is_gone_is_named(chief):
    _, address = chief
    with grpc.insecure_channel("127.0.0.1:9") as channel:
        stub = protos.get_service_grpc().OracleStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.GetSpace(protos.get_service().GetSpaceRequest(), timeout=5)
    gone = worker.in_words(raised.value, address)
    assert str(gone) == f"the search at {address} is gone; start it again, and this after it"


def test_a_port_that_is_taken_is_refused_in_one_line(chief, capfd):
    search, address = chief
    with (
        pytest.raises(ConfigError, match=rf"^tune\.address is {address}, but nothing can listen"),
        serving(search, "other", address),
    ):
        pass
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("listens", "reached"),
    [
        ("0.0.0.0:4400", "127.0.0.1:4400"),
        ("[::]:4400", "[::1]:4400"),
        ("10.0.0.7:4400", "10.0.0.7:4400"),
    ],
)
def test_workers_on_the_same_machine_reach_what_listens_everywhere(listens, reached):
    assert local_address(listens, 4400) == reached


def test_an_idle_worker_is_answered_soon(chief):
    search, _ = chief
    for name in "abcd":
        search.next_trial(name)
    asked = shared.monotonic()
    assert search.next_trial("e").status == "IDLE"
    assert shared.monotonic() - asked < 10 * shared.IDLE_SECONDS
