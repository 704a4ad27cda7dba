"""The memory of a search: the scores of its finished trials, which outlive a kill."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.durable import sync
from pipeline.core.errors import StageError

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
        found = self.known(values, epochs)
        if found is None:
            try:
                found = compute()
            except StageError as error:
                self.keep(values, epochs, str(error))
                raise
            self.keep(values, epochs, found)
        if isinstance(found, str):
            raise StageError(found)
        return found

    def known(self, values: TrialValues, epochs: int) -> float | str | None:
        """The score of an earlier trial with these values, or why it failed; None without one."""
        return self._scores.get(_name(values, epochs))

    def keep(self, values: TrialValues, epochs: int, result: float | str) -> None:
        """Waits until the disk has a trial's score, or why it failed."""
        trial = _name(values, epochs)
        self._scores[trial] = result
        text = json.dumps({trial: result}).encode()
        with self._path.open("ab") as file:
            file.write(b"\n" + _digest(text) + b" " + text)
        sync(self._path)


def _name(values: TrialValues, epochs: int) -> str:
    return json.dumps({"epochs": epochs, **values}, sort_keys=True)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
