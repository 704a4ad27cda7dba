"""A search whose trials are run by workers in other processes, here or on other machines."""

import queue
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import keras_tuner
from keras_tuner.engine.trial import Trial as KerasTunerTrial

from pipeline.config.schema import TuneSection
from pipeline.training.precision import Execution
from pipeline.tuning.base_search import Ended, Trial, TrialSearch
from pipeline.tuning.workers.messages import Answer, Task

LOOK_SECONDS = 0.25
IDLE_SECONDS = 1.0
SILENT_SECONDS = 60.0
FAREWELL_SECONDS = 5.0
MOST_LOSSES = 3


class Workers(Protocol):
    """The workers that the chief itself started."""

    def tend(self) -> Iterable[str]:
        """Replaces those that were lost; gives their names."""

    def started(self, worker: str) -> bool:
        """Whether it is one of these."""


class SharedSearch(TrialSearch):
    """Hands trials out to whoever asks, and takes their answers, in any order.

    The main thread waits in `run`; the other methods are called from the threads that serve
    workers. A trial whose worker was lost is handed out again; of answers the first counts.
    """

    def __init__(
        self, section: TuneSection, seed: int, folder: Path, ended: Ended, execution: Execution
    ) -> None:
        """Opens the search in `folder`; `execution` is for every worker, the rest as elsewhere."""
        super().__init__(section, seed, folder, ended)
        self._execution = execution
        self._changed = threading.Condition()
        self._heard: dict[str, float] = {}
        self._losses: Counter[str] = Counter()
        self._news: queue.Queue[str] = queue.Queue()
        self._failure: Exception | None = None
        self._is_over = False

    def run(self, workers: Workers) -> list[Trial]:
        """Waits for the workers; gives every trial, in the order of their beginnings.

        Raises:
            StageError: none succeeded and not all diverged, or three in a row failed by another
                error than a divergence.
        """
        with self._failures_in_words():
            while not self._is_over and not self._failure:
                self._tell_news()
                for worker in (*workers.tend(), *self.silent()):
                    self.lose(worker)
            if self._failure:
                raise self._failure
        while not self._news.empty():
            self._tell_news()
        self._see_off(workers)
        return self._conclusion()

    def next_trial(self, worker: str) -> Any:
        """What to do next, after a short wait if that is nothing as yet."""
        with self._guarded():
            self._heard[worker] = monotonic()
            trial = self._create(worker)
            if trial.status == "IDLE" and self._changed.wait(IDLE_SECONDS):
                trial = self._create(worker)
            if trial.status == "STOPPED":
                self._heard.pop(worker, None)
                self._changed.notify_all()
            return trial
        return _empty("STOPPED")

    def task(self, trial: Any) -> Task:
        """What the worker of the trial needs to know."""
        tried = self._trial(0, trial)
        return Task(tried.values, tried.epochs, self._execution.policy, self._execution.jit_compile)

    def hear(self, identifier: str) -> None:
        """Takes note that the trial's worker is alive."""
        with self._changed:
            for worker, trial in self.oracle.ongoing_trials.items():
                if trial.trial_id == identifier:
                    self._heard[worker] = monotonic()

    def end(self, identifier: str, answer: Answer) -> None:
        """Takes the first answer to a trial."""
        with self._guarded():
            if answer.hopeless:
                raise answer.error()
            if identifier not in self.oracle.end_order and not self._failure:
                self._end(self.oracle.trials[identifier], answer, is_new=True)

    def lose(self, worker: str) -> None:
        """Gives its trial to another; one that was lost too often has failed."""
        with self._guarded():
            self._heard.pop(worker, None)
            self.oracle.tuner_ids.discard(worker)
            trial = self.oracle.ongoing_trials.pop(worker, None)
            if trial is None or self._failure:
                return
            self._losses[trial.trial_id] += 1
            if self._losses[trial.trial_id] < MOST_LOSSES:
                # As its reload() does: there is no public way.
                self.oracle._retry_queue.append(trial.trial_id)
            else:
                lost = f"its worker was lost {MOST_LOSSES} times; is there memory for so many?"
                self._end(trial, Answer(trouble=lost), is_new=True)

    def _create(self, worker: str) -> Any:
        """The next trial whose score is not known yet."""
        oracle = self.oracle
        while not self._is_over and not self._failure:
            trial = oracle.create_trial(worker)
            if trial.status == "STOPPED" and (oracle.ongoing_trials or oracle._retry_queue):
                return _empty("IDLE")  # its worker may be lost
            self._is_over = trial.status == "STOPPED"
            known = self._known(trial) if trial.status == "RUNNING" else None
            if known is None:
                return trial
            self._end(trial, known, is_new=False)
        return _empty("STOPPED")

    def _known(self, trial: Any) -> Answer | None:
        """How an equal trial ended before a kill."""
        tried = self._trial(0, trial)
        known = self._finished.known(tried.values, tried.epochs)
        if known is None:
            return None
        return Answer(failure=known) if isinstance(known, str) else Answer(score=known)

    def _end(self, trial: Any, answer: Answer, *, is_new: bool) -> None:
        """Ends the trial in KerasTuner's eyes, and in the memory if its result is for good."""
        tried = self._trial(0, trial)
        result = answer.failure or answer.score
        if is_new and result is not None and not answer.trouble:
            self._finished.keep(tried.values, tried.epochs, result)
        if answer.score is not None:
            self.oracle.update_trial(trial.trial_id, {self._section.objective: answer.score})
        if answer.failure:
            self._count_divergence()
        trial.status = "INVALID" if answer.score is None else "COMPLETED"
        trial.message = answer.failure or answer.trouble or None
        if trial.trial_id in self.oracle._retry_queue:
            self.oracle._retry_queue.remove(trial.trial_id)
        self.oracle.end_trial(trial)
        self._news.put(trial.trial_id)
        self._changed.notify_all()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """One thread at a time; an error ends the search, and is raised where it is waited for.

        After one the oracle must not be asked again: KerasTuner's lock stays with the thread that
        met it.
        """
        with self._changed:
            try:
                yield
            except Exception as error:
                self._failure = self._failure or error
                self._changed.notify_all()

    def _tell_news(self) -> None:
        try:
            identifier = self._news.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return
        with self._changed:
            number = self.oracle.start_order.index(identifier) + 1
            trial, best = self._trial(number, self.oracle.trials[identifier]), self.best()
        self._ended(trial, best)

    def silent(self) -> list[str]:
        """Workers that have not been heard of for long."""
        with self._changed:
            latest = monotonic() - SILENT_SECONDS
            return [worker for worker, heard in self._heard.items() if heard < latest]

    def _see_off(self, workers: Workers) -> None:
        """Waits a little until workers from elsewhere know that the search is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(workers.started(worker) for worker in self._heard), FAREWELL_SECONDS
            )


def _empty(status: str) -> Any:
    """No trial, and why."""
    return KerasTunerTrial(keras_tuner.HyperParameters(), trial_id="", status=status)
