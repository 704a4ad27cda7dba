"""Which failures may be gone another time, and what is advised."""

import pytest

from export.formats.failures import advised, may_pass

PASSING = (
    "the converter was killed by SIGKILL",
    "the converter took longer than 300 s",
    "the converter was cancelled",
    "the converter raised MemoryError: ",
    "the converter raised OSError: [Errno 28] No space left on device",
    "the converter raised ResourceExhaustedError: OOM when allocating tensor with shape[9]",
    "the converter was killed by SIGABRT: terminate called after throwing 'std::bad_alloc'",
    "it is made from onnx, which failed: the converter was killed by SIGTERM",
)
LASTING = (
    "the converter raised ValueError: too many values to unpack (expected 2)",
    "the converter was killed by SIGSEGV",
    "the converter was killed by SIGABRT: LLVM ERROR: failed to infer result types",
    "the converter raised FileNotFoundError: [Errno 2] No such file or directory: 'x'",
    "the converter ended with exit code 1",
    "it is made from onnx, which failed: the converter raised KeyError: 'bathroom'",
)


@pytest.mark.parametrize("reason", PASSING)
def test_what_lay_in_time_memory_or_a_disk_may_be_tried_again(reason):
    assert may_pass(reason)
    assert "the same command again" in advised(reason)


@pytest.mark.parametrize("reason", LASTING)
def test_what_recurs_each_time_is_not_said_to_be_worth_another_try(reason):
    assert not may_pass(reason)
    assert advised(reason).endswith("fail the same way again: leave it out of export.formats")
