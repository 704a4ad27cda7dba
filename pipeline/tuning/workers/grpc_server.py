"""Serves a shared search to its workers over gRPC, in KerasTuner's own terms.

KerasTuner's documented chief (1.4.8) waits for ever for a worker that was killed, rounds scores to
32 bits, takes in workers of any search, and does not tell why a trial failed. It leaves no place
for that, so its service is extended here, in modules that it does not promise to keep.
"""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from pipeline.core.errors import ConfigError
from pipeline.core.progress import quiet_libraries
from pipeline.tuning.workers.chief import SharedSearch
from pipeline.tuning.workers.messages import ANSWER, TASK, read_answer, write

THREADS = 64
LOCAL = "127.0.0.1:0"
# Without this a second chief would share the port of the first one, and half of its workers.
OPTIONS = (("grpc.so_reuseport", 0),)


class TrialService(OracleServicer):
    """KerasTuner's service, with exact scores, and for workers that may be lost."""

    def __init__(self, search: SharedSearch, name: str) -> None:
        super().__init__(search.oracle)
        self._search, self._name = search, name

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        if not request.tuner_id.startswith(f"{self._name}-"):
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                "the search there is another: its config, overrides, data, code or libraries are "
                "not those of this machine; make them the same",
            )
        trial = self._search.next_trial(request.tuner_id)
        message = trial.to_proto()
        if trial.status == "RUNNING":
            task = write(self._search.task(trial))
            message.hyperparameters.values.values[TASK].string_value = task
        return protos.get_service().CreateTrialResponse(trial=message)

    def GetTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._search.hear(request.trial_id)
        return super().GetTrial(request, context)

    def UpdateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Changes nothing: the score comes with the end of the trial, unrounded."""
        trial = self.oracle.get_trial(request.trial_id).to_proto()
        return protos.get_service().UpdateTrialResponse(trial=trial)

    def EndTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = request.trial.hyperparameters.values.values[ANSWER].string_value
        self._search.end(request.trial.trial_id, read_answer(answer))
        return protos.get_service().EndTrialResponse()


@contextmanager
def serving(search: SharedSearch, name: str, address: str | None) -> Iterator[str]:
    """Serves while the block runs; gives the address for workers on this machine.

    Args:
        search: what is served.
        name: of the search; workers of another are refused.
        address: where to listen; only for this machine, at any free port, if None.

    Raises:
        ConfigError: nothing can listen there.
    """
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=OPTIONS)
    service = TrialService(search, name)
    protos.get_service_grpc().add_OracleServicer_to_server(service, server)
    try:
        with quiet_libraries():
            port = server.add_insecure_port(address or LOCAL)
    except RuntimeError as error:
        raise ConfigError(
            f"tune.address is {address}, but nothing can listen there: it is no address of this "
            "machine, or its port is taken; choose another"
        ) from error
    server.start()
    try:
        yield local_address(address or LOCAL, port)
    finally:
        server.stop(None)


def local_address(address: str, port: int) -> str:
    """Where a process on the same machine reaches what listens at an address."""
    host = address.rpartition(":")[0]
    return f"{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{port}"
