"""Exported files with a few bytes changed, and the child that asks them one after another."""

import os
import random
from pathlib import Path

from export.verification.golden_replay import answer
from pipeline.core import child_process

ASK = "tests.hostile.mutants:ask"


def mutated(content, seed):
    """Flips bits, overwrites, cuts off, cuts out or puts in some bytes; mostly few."""
    chance, changed = random.Random(seed), bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 8, 64))):
        at, length = place(chance, len(changed)), chance.choice((1, 2, 4, 8, 256))
        match chance.randrange(9):
            case 0 | 1 | 2 | 3:
                changed[at] ^= 1 << chance.randrange(8)
            case 4 | 5:
                changed[at : at + length] = chance.randbytes(length)
            case 6:
                changed[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"))
            case 7:
                changed[at:at] = chance.randbytes(length)
            case _:
                del changed[at : chance.choice((at + length, len(changed)))]
        if not changed:
            break
    return bytes(changed)


def place(chance, length):
    """Anywhere, or near either end: there stands what says where all else is."""
    near = chance.randrange(min(4096, length))
    return chance.choice((near, length - 1 - near, chance.randrange(length)))


def ask(argument):
    """The child's side: writes each mutant and yields what came of asking it."""
    original, path = Path(argument["original"]).read_bytes(), Path(argument["path"])
    for seed in range(argument["first"], argument["last"]):
        path.write_bytes(mutated(original, seed))
        yield next(answer(argument))


def outcomes(argument, count, timeout_seconds):
    """What came of each mutant: how it ended, as `runtime`, `refused`, `problem` or `died`."""
    found = []
    while len(found) < count:
        left = {**argument, "first": len(found), "last": count}
        outcome = child_process.call(ASK, left, timeout_seconds=timeout_seconds)
        found += [next(iter(said.items())) for said in outcome.values]
        if len(found) < count:
            found.append(("died", outcome.failure))
    return found


def dies(argument):
    """A runtime that a file brings down."""
    os.abort()
    yield
