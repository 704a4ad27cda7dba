"""The Slurm example, against stand-ins of Slurm's commands."""

import os
import signal
import subprocess

import pytest

from pipeline.cli import main
from pipeline.config.schema import TrainSection
from pipeline.config.train.tf_config import Cluster, job_of
from pipeline.core.plugins import ROOT
from pipeline.workflow import graph
from tests.examples.conftest import EXAMPLES

SLURM = EXAMPLES / "slurm"
SBATCH = 'echo >>"$0.count"; echo "$(wc -l <"$0.count");cluster"'
PLACE = ["-c", "configs/mnist.yaml", "--artifacts", "/shared/artifacts"]
ARGUMENTS = [*PLACE, "train.checkpoint_every_steps=100"]


def submitted(stand_ins, **variables):
    """Options, and arguments for the program, of each job."""
    stand_ins.add("sbatch", SBATCH)
    done = stand_ins.run(SLURM / "submit.sh", *ARGUMENTS, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    script = "examples/slurm/stage.sbatch"
    calls = stand_ins.calls("sbatch")
    return [(call[: call.index(script)], call[call.index(script) + 1 :]) for call in calls]


def test_each_stage_waits_for_the_one_before(stand_ins):
    jobs = submitted(stand_ins)
    assert [arguments[:2] for _, arguments in jobs] == [["--stage", name] for name in graph.NAMES]
    assert all(arguments[2:] == ARGUMENTS for _, arguments in jobs)
    waits = [[word for word in options if word.startswith("--dep")] for options, _ in jobs]
    assert waits == [[], *([f"--dependency=afterok:{number}"] for number in range(1, 7))]
    assert not any("--nodes" in word for options, _ in jobs for word in options)


def test_only_training_takes_several_nodes(stand_ins):
    jobs = submitted(stand_ins, NODES="3", STAGES="build train evaluate")
    assert ["--nodes=3" in options for options, _ in jobs] == [False, True, False]
    strategy = "train.strategy=multi_worker"
    assert [strategy in arguments for _, arguments in jobs] == [False, True, False]


def test_the_program_takes_every_command_line(stand_ins, made, capsys):
    stand_ins.add("srun", "true")
    for _, arguments in submitted(stand_ins, NODES="2"):
        done = stand_ins.run("bash", SLURM / "stage.sbatch", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
    calls = [call[call.index("examples/slurm/worker.sh") + 1 :] for call in stand_ins.calls("srun")]
    assert len(calls) == len(graph.NAMES)
    for call in calls:
        call[call.index("/shared/artifacts")] = str(made)
        main.app([*call, "--dry-run"], standalone_mode=False)
        assert call[call.index("--stage") + 1] in capsys.readouterr().out


@pytest.mark.parametrize(("variables", "cores"), [({"SLURM_CPUS_PER_TASK": "4"}, "4"), ({}, "1")])
def test_the_program_gets_the_cores_of_its_job(stand_ins, variables, cores):
    stand_ins.add("srun", "echo $SRUN_CPUS_PER_TASK")
    assert stand_ins.run("bash", SLURM / "stage.sbatch", **variables).stdout == f"{cores}\n"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 143])
def test_a_job_ends_as_its_stage_did(stand_ins, code):
    stand_ins.add("srun", f"exit {code}")
    stand_ins.add("scontrol")
    assert stand_ins.run("bash", SLURM / "stage.sbatch", "--stage", "train").returncode == code
    assert stand_ins.calls("scontrol") == []


@pytest.mark.parametrize(("code", "is_requeued"), [(143, True), (0, False), (1, False)])
def test_a_job_whose_time_is_up_queues_itself_again(stand_ins, tmp_path, code, is_requeued):
    step, ready = tmp_path / "step", tmp_path / "ready"
    os.mkfifo(ready)
    waiting = (
        f"trap 'exit {code}' TERM; echo $$ >{step}; echo >{ready}; while :; do sleep 0.01; done"
    )
    stand_ins.add("srun", waiting)
    stand_ins.add("scancel", f'kill -TERM "$(<{step})"')
    stand_ins.add("scontrol")
    job = subprocess.Popen(
        ["bash", SLURM / "stage.sbatch", "--stage", "train"],
        cwd=ROOT,
        env={**stand_ins.variables, "SLURM_JOB_ID": "42"},
    )
    ready.read_text()
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=60) == code
    assert stand_ins.calls("scancel") == [["--signal=TERM", "42"]]
    assert stand_ins.calls("scontrol") == ([["requeue", "42"]] if is_requeued else [])


def test_each_worker_learns_who_they_are(stand_ins, tmp_path):
    shown = tmp_path / "shown"
    python = stand_ins.add("python", f'printf "%s" "${{TF_CONFIG-none}}" >{shown}')
    stand_ins.add("scontrol", r'[[ $* == "show hostnames n[1-3]" ]] && printf "n1\nn2\nn3\n"')
    slurm = {"SLURM_NTASKS": "3", "SLURM_JOB_ID": "1234567", "SLURM_JOB_NODELIST": "n[1-3]"}
    for index in range(3):
        variables = {**slurm, "SLURM_PROCID": str(index), "PYTHON": str(python)}
        done = stand_ins.run(SLURM / "worker.sh", "run", "train.epochs=3", **variables)
        assert (done.returncode, done.stderr) == (0, "")
        told = {"TF_CONFIG": shown.read_text()}
        job = Cluster(("n1:24567", "n2:24567", "n3:24567"), index)
        assert job_of(TrainSection(strategy="multi_worker"), told) == job
    assert stand_ins.calls("python") == [["run_pipeline.py", "run", "train.epochs=3"]] * 3


def test_one_worker_alone_is_told_nothing(stand_ins, tmp_path):
    shown = tmp_path / "shown"
    python = stand_ins.add("python", f'printf "%s" "${{TF_CONFIG-none}}" >{shown}')
    for tasks in ({}, {"SLURM_NTASKS": "1"}):
        assert stand_ins.run(SLURM / "worker.sh", PYTHON=str(python), **tasks).returncode == 0
        assert shown.read_text() == "none"
