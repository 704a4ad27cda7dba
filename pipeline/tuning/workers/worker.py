"""A worker of a shared search: asks the chief for trials, trains them, and tells their scores."""

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import keras_tuner
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.src.distribute import oracle_client

from pipeline.config.loading import recorded_config
from pipeline.core.child_process import end_with_parent
from pipeline.core.errors import ConfigError, PipelineError, StageError
from pipeline.training.precision import Execution, deterministic
from pipeline.tuning.objective import Material, open_material
from pipeline.tuning.search import HOPELESS
from pipeline.tuning.workers.messages import ANSWER, TASK, Answer, Task, read_task, write

MARK = "trial-{}"
BEAT_SECONDS = 10.0
ANSWER_SECONDS = 60.0


class Worker(BaseTuner):
    """KerasTuner's worker, whose oracle is with the chief."""

    def __init__(self, material: Material, folder: Path) -> None:
        """Trains on `material`; a mark in `folder` for each trial begun tells the pool."""
        self._material, self._folder = material, folder
        self._objective = material.config.tune.objective
        self._answer = Answer()
        own = keras_tuner.oracles.RandomSearchOracle(
            objective=keras_tuner.Objective(self._objective, "max")  # BaseTuner wants one
        )
        super().__init__(own, directory=str(folder))

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        (self._folder / MARK.format(trial.trial_id)).touch()
        task = read_task(trial.hyperparameters.values[TASK])
        with self._signs_of_life(trial.trial_id):
            self._answer = self._try(task)
        if self._answer.score is None:
            raise StageError("told in the answer")
        return {self._objective: self._answer.score}

    def _try(self, task: Task) -> Answer:
        execution = Execution(task.policy, task.jit_compile, "as the chief decided")
        try:
            return Answer(score=self._material.score(task.values, task.epochs, execution))
        except HOPELESS as error:
            return Answer(hopeless=(type(error).__name__, str(error)))
        except StageError as error:
            return Answer(failure=str(error))
        except Exception as error:
            return Answer(trouble=f"{type(error).__name__}: {error}")

    @contextmanager
    def _signs_of_life(self, identifier: str) -> Iterator[None]:
        """Lets the chief know now and then that the trial is being trained."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                with suppress(grpc.RpcError):  # the next request tells
                    self.oracle.get_trial(identifier)

        threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def on_trial_end(self, trial: Any) -> None:
        trial.hyperparameters.values[ANSWER] = write(self._answer)
        super().on_trial_end(trial)


def work(given: Mapping[str, Any], folder: Path) -> None:
    """Runs trials until the chief has no more.

    Raises:
        ConfigError: the chief has another search.
        StageError: there is no chief, or no longer.
    """
    tf.config.threading.set_intra_op_parallelism_threads(given["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(given["threads"])
    config = recorded_config(given["config"], "the config of the chief")
    material = open_material(config, Path(given["images"]))
    find_chief(given["address"], given["wait_seconds"])
    tell_keras_tuner(given["address"], given["name"])
    try:
        with deterministic(config.train.deterministic):
            Worker(material, folder).search()
    except grpc.RpcError as error:
        raise in_words(error, given["address"]) from error


def find_chief(address: str, wait_seconds: float) -> None:
    # A proxy for the web leads to no chief.
    os.environ["no_grpc_proxy"] = address.rpartition(":")[0].strip("[]")  # noqa: SIM112
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(wait_seconds)
        except grpc.FutureTimeoutError as error:
            raise StageError(
                f"nobody answered at {address} for {wait_seconds:g} s: the search has ended, or "
                f"was not started with tune.address={address}, or its port is not let through; see "
                "there"
            ) from error


def tell_keras_tuner(address: str, name: str) -> None:
    host, _, port = address.rpartition(":")
    os.environ["KERASTUNER_ORACLE_IP"], os.environ["KERASTUNER_ORACLE_PORT"] = host, port
    os.environ["KERASTUNER_TUNER_ID"] = name
    oracle_client.TIMEOUT = ANSWER_SECONDS  # of a chief that is gone; an hour, and no setting


def in_words(error: Any, address: str) -> PipelineError:
    if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
        return ConfigError(error.details())
    return StageError(f"the search at {address} is gone; start it again, and this after it")


def main(task: Path) -> None:
    """Runs the process of a worker; the pool wrote the file."""
    given = json.loads(task.read_text(encoding="utf-8"))
    end_with_parent(given["parent"])
    try:
        work(given, task.parent)
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
