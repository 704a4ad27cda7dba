"""The memory of a search: the scores of its finished trials, which outlive a kill."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.durable import sync
from pipeline.errors import StageError

TrialValues = Mapping[str, Any]


class FinishedTrials:
    """The scores of finished trials, a line of JSON each behind the digest of the line.

    A kill can tear only the last line; of one that is torn or damaged the trial is tried again.
    In place of a score stands why a trial failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scores: dict[str, float | str] = {}
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            digest, _, text = line.partition(b" ")
            if text and digest == _digest(text):
                self._scores.update(json.loads(text))

    def score(self, values: TrialValues, epochs: int, compute: Callable[[], float]) -> float:
        """The score of an earlier trial with these values, or that of a new one.

        Raises:
            StageError: the trial failed, now or earlier.
        """
        trial = json.dumps({"epochs": epochs, **values}, sort_keys=True)
        if trial not in self._scores:
            try:
                self._keep(trial, compute())
            except StageError as error:
                self._keep(trial, str(error))
                raise
        found = self._scores[trial]
        if isinstance(found, str):
            raise StageError(found)
        return found

    def _keep(self, trial: str, result: float | str) -> None:
        self._scores[trial] = result
        text = json.dumps({trial: result}).encode()
        with self._path.open("ab") as file:
            file.write(b"\n" + _digest(text) + b" " + text)
        sync(self._path)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
