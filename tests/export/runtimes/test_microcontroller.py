"""The C++ is compiled for this machine, against stand-ins of TensorFlow Lite Micro's headers."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.deployment import microcontroller
from export.tflite import int_exporter, micro_interpreter

pytestmark = pytest.mark.tflite_micro
STAND_INS = Path(__file__).parent / "tflite_micro_stand_ins"
FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
WRITES_THE_MODEL = """
#include <cstdint>
#include <cstdio>
#include "model_data.h"
int main() {
  if (reinterpret_cast<uintptr_t>(g_model) % 16) return 3;
  return std::fwrite(g_model, 1, g_model_len, stdout) == g_model_len ? 0 : 4;
}
"""
PRINTS_THE_LABELS = """
#include <cstdio>
#include "classifier.h"
int main() {
  for (const char* label : classifier::kLabels) std::puts(label);
}
"""

PRINTS_WHAT_NUMBERS_STAND_FOR = """
#include <cstdio>
#include "classifier.h"
using namespace classifier;
int main() {
  const Output answer[kNumLabels] = {LOW, LOW, HALF, LOW};
  std::printf("%g %g %d", double(FromPixel(200)), ToProbability(HALF), MostProbable(answer));
}
"""


@pytest.fixture(scope="module")
def compile_and_link(tool):
    compiler = tool("g++")

    def build(folder, *sources):
        program = folder / "program"
        files = [folder / source for source in sources]
        includes = ["-I", folder, "-isystem", STAND_INS]
        subprocess.run([compiler, *FLAGS, *includes, *files, "-o", program], check=True)
        return program

    return build


@pytest.fixture(scope="module")
def rendered(exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("microcontroller") / "new"
    path = exported.path("tflite_int8")
    microcontroller.write(path, exported.contract, folder, timeout_seconds=60)
    return folder


def test_all_of_it_is_written(rendered):
    assert {path.name for path in rendered.iterdir()} == {
        "README.md",
        "classifier.cc",
        "classifier.h",
        "golden_check.cc",
        "model_data.cc",
        "model_data.h",
    }


def test_the_array_is_the_file(exported, rendered, compile_and_link):
    (rendered / "writes.cc").write_text(WRITES_THE_MODEL)
    program = compile_and_link(rendered, "writes.cc", "model_data.cc")
    done = subprocess.run([program], capture_output=True, check=True)
    assert done.stdout == exported.path("tflite_int8").read_bytes()


def test_the_labels_survive_the_compiler(exported, rendered, compile_and_link):
    (rendered / "labels.cc").write_text(PRINTS_THE_LABELS)
    program = compile_and_link(rendered, "labels.cc", "classifier.cc", "model_data.cc")
    done = subprocess.run([program], capture_output=True, check=True)
    assert tuple(done.stdout.decode().splitlines()) == exported.contract.output.labels


def test_the_arena_holds_what_was_measured_and_patches(exported, rendered):
    (advised,) = re.findall(r"kArenaSize = (\d+);", (rendered / "classifier.h").read_text())
    path = exported.path("tflite_int8")
    model = path.read_bytes()
    patches = 4 * 16  # each of 3 by 3 pixels, filled up to 16
    assert int(advised) == micro_interpreter.smallest_arena(path, 60) + patches
    micro_interpreter._interpreter(model, int(advised))


def test_the_table_tells_the_size_of_the_model(exported, rendered):
    table = (rendered / "README.md").read_text()
    assert f"| {exported.path('tflite_int8').stat().st_size:,} | flash |" in table


def write_golden(folder, inputs, expected, dtype):
    """Golden answers for the stand-in, which gives back the first numbers that it takes."""
    for name in ("inputs", "expected"):
        (folder / name).mkdir(parents=True)
    inputs.astype(dtype).tofile(folder / f"inputs/{dtype}.bin")
    expected.astype(dtype).tofile(folder / "expected/tflite_int8.bin")
    return folder


@pytest.fixture(scope="module", params=["uint8", "int8", "float32"])
def written(request, exported, tmp_path_factory):
    """The files of a model with such ends, and which they are."""
    io = request.param
    folder = tmp_path_factory.mktemp(io)
    promised = replace(
        exported.contract.formats["tflite_int8"],
        input=int_exporter.INPUT_TYPES[io],
        output=int_exporter.OUTPUT_TYPES[io],
    )
    contract = replace(exported.contract, formats={"tflite_int8": promised})
    microcontroller.write(exported.path("tflite_int8"), contract, folder, timeout_seconds=60)
    return folder, io


def test_numbers_stand_for_what_the_contract_says(written, compile_and_link):
    folder, io = written
    pixel, low, half = {"uint8": (200, 0, 128), "int8": (72, -128, 0), "float32": (200, 0, 0.5)}[io]
    text = PRINTS_WHAT_NUMBERS_STAND_FOR.replace("HALF", str(half)).replace("LOW", str(low))
    (folder / "numbers.cc").write_text(text)
    program = compile_and_link(folder, "numbers.cc", "classifier.cc", "model_data.cc")
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{pixel} 0.5 2"


@pytest.fixture(scope="module")
def golden_check(written, compile_and_link):
    folder, io = written
    sources = ("golden_check.cc", "classifier.cc", "model_data.cc")
    return compile_and_link(folder, *sources), io


@pytest.mark.parametrize(("off", "agree"), [(0.0, 3), (0.04, 3), (0.06, 2)])
def test_the_golden_check_counts_answers_within_the_tolerance(golden_check, tmp_path, off, agree):
    program, io = golden_check
    probabilities = np.full((3, 120), 0.25, np.float32)
    expected = probabilities[:, :4].copy()
    expected[1, 2] += off
    encode = int_exporter.OUTPUT_TYPES[io].encode
    golden = write_golden(tmp_path / "golden", encode(probabilities), encode(expected), io)
    done = subprocess.run([program, golden], capture_output=True, text=True)
    assert done.stdout.startswith(f"{agree} of 3 agree, largest difference ")
    assert done.returncode == (agree < 3)


def test_what_is_printed_can_be_printed_with_newlib_nano(rendered):
    texts = [path.read_text() for path in rendered.iterdir() if path.suffix in (".cc", ".h")]
    conversions = re.findall(
        r"%[-+ #0-9.*]*[a-zA-Z]+", "".join(re.findall(r'".*%.*"', "".join(texts)))
    )
    assert set(conversions) == {"%d", "%s", "%04d"}


@pytest.fixture(scope="module")
def on_a_board(written):
    """The golden check as a board runs it: for Arm, with newlib-nano, in an emulator."""
    folder, io = written
    compiler, emulator = map(shutil.which, ("arm-none-eabi-g++", "qemu-system-arm"))
    if not compiler or not emulator:  # 2 GB, which CI does without
        pytest.skip("libstdc++-arm-none-eabi-newlib and qemu-system-arm are not both installed")
    flags = ["-mcpu=arm926ej-s", "-specs=nano.specs", "-specs=rdimon.specs", "-fno-exceptions"]
    sources = [folder / f"{name}.cc" for name in ("golden_check", "classifier", "model_data")]
    program = folder / "board.elf"
    includes = ["-I", folder, "-isystem", STAND_INS]
    subprocess.run([compiler, *FLAGS, *flags, *includes, *sources, "-o", program], check=True)

    def run(golden):
        command = [emulator, "-M", "versatilepb", "-nographic", "-kernel", program]
        target = f"enable=on,target=native,arg={program},arg={golden}"
        return subprocess.run(
            [*command, "-semihosting-config", target],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run, io


@pytest.mark.long
def test_on_a_board_the_golden_check_prints_its_numbers(on_a_board, tmp_path):
    run, io = on_a_board
    probabilities = np.full((3, 120), 0.25, np.float32)
    expected = probabilities[:, :4].copy()
    expected[1, 2] += 0.25
    encode = int_exporter.OUTPUT_TYPES[io].encode
    golden = write_golden(tmp_path / "golden", encode(probabilities), encode(expected), io)
    done = run(golden)
    assert done.stdout == "2 of 3 agree, largest difference 0.2500\n", done.stderr
    assert done.returncode == 1


def test_a_folder_without_golden_answers_is_no_success(golden_check, tmp_path):
    program, _ = golden_check
    done = subprocess.run([program, tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "holds no images and answers of this model" in done.stderr
