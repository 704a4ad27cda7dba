"""The Kubernetes example: its YAML by a schema of the fields used, its script by a stand-in."""

import re
from fnmatch import fnmatch
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pipeline.cli import main
from pipeline.core.errors import GateError, StageError
from pipeline.core.plugins import ROOT
from pipeline.workflow import graph
from tests.examples.conftest import EXAMPLES

KUBERNETES = EXAMPLES / "kubernetes"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Amount = Annotated[str, StringConstraints(pattern=r"^[0-9]+(m|Mi|Gi)?$")]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Of the API, as far as it is used here; what is not known is refused, as are other types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Part):
    name: Name | None = None
    labels: dict[str, str] = {}


class ExitCodes(Part):
    containerName: Name  # noqa: N815
    operator: Literal["In", "NotIn"]
    values: list[Annotated[int, Field(ge=0, le=255)]]


class PodCondition(Part):
    type: Literal["DisruptionTarget"]
    status: Literal["True", "False", "Unknown"]


class Rule(Part):
    action: Literal["FailJob", "Ignore", "Count"]
    onExitCodes: ExitCodes | None = None  # noqa: N815
    onPodConditions: list[PodCondition] | None = None  # noqa: N815


class FailurePolicy(Part):
    rules: list[Rule]


class Variable(Part):
    name: str
    value: str


class Resources(Part):
    requests: dict[Literal["cpu", "memory"], Amount]
    limits: dict[Literal["cpu", "memory"], Amount]


class Capabilities(Part):
    drop: list[str]


class ContainerSecurity(Part):
    allowPrivilegeEscalation: bool  # noqa: N815
    capabilities: Capabilities


class Mount(Part):
    name: Name
    mountPath: Annotated[str, StringConstraints(pattern="^/")]  # noqa: N815


class Container(Part):
    name: Name
    image: str
    args: list[str]
    env: list[Variable]
    resources: Resources
    securityContext: ContainerSecurity  # noqa: N815
    volumeMounts: list[Mount]  # noqa: N815


class Claim(Part):
    claimName: Name  # noqa: N815


class Volume(Part):
    name: Name
    persistentVolumeClaim: Claim  # noqa: N815


class PodSecurity(Part):
    runAsNonRoot: bool  # noqa: N815
    runAsUser: Count  # noqa: N815
    runAsGroup: Count  # noqa: N815
    fsGroup: Count  # noqa: N815


class Pod(Part):
    restartPolicy: Literal["Never", "OnFailure"]  # noqa: N815
    terminationGracePeriodSeconds: Count  # noqa: N815
    securityContext: PodSecurity  # noqa: N815
    containers: Annotated[list[Container], Field(min_length=1)]
    volumes: list[Volume]


class Template(Part):
    metadata: Metadata
    spec: Pod


class JobSpec(Part):
    suspend: bool
    backoffLimit: Count  # noqa: N815
    podFailurePolicy: FailurePolicy  # noqa: N815
    template: Template


class Job(Part):
    apiVersion: Literal["batch/v1"]  # noqa: N815
    kind: Literal["Job"]
    metadata: Metadata
    spec: JobSpec


class StorageRequest(Part):
    requests: dict[Literal["storage"], Amount]


class ClaimSpec(Part):
    accessModes: list[Literal["ReadWriteOnce", "ReadWriteMany"]]  # noqa: N815
    resources: StorageRequest


class VolumeClaim(Part):
    apiVersion: Literal["v1"]  # noqa: N815
    kind: Literal["PersistentVolumeClaim"]
    metadata: Metadata
    spec: ClaimSpec


def documents(name):
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


@pytest.fixture(scope="module")
def jobs():
    return [Job.model_validate(document) for document in documents("jobs.yaml")]


def test_there_is_a_job_for_each_stage_in_order(jobs):
    assert [job.metadata.name for job in jobs] == [f"evenkeel-{name}" for name in graph.NAMES]
    for job, name in zip(jobs, graph.NAMES, strict=True):
        assert job.spec.template.spec.containers[0].args[-2:] == ["--stage", name]


def test_jobs_differ_in_their_stage_and_what_they_need_alone(jobs):
    for job in jobs:
        (container,) = job.spec.template.spec.containers
        container.args.pop()
        container.resources = jobs[0].spec.template.spec.containers[0].resources
        job.metadata.name = None
        assert job == jobs[0]


def test_jobs_mount_the_claim_where_the_program_writes(jobs):
    (claim,) = [VolumeClaim.model_validate(document) for document in documents("volume.yaml")]
    for job in jobs:
        pod = job.spec.template.spec
        (volume,), (container,) = pod.volumes, pod.containers
        assert volume.persistentVolumeClaim.claimName == claim.metadata.name
        assert [(mount.name, mount.mountPath) for mount in container.volumeMounts] == [
            (volume.name, container.args[container.args.index("--artifacts") + 1])
        ]


def test_a_job_waits_and_fails_for_good_where_the_program_said_why(jobs):
    for job in jobs:
        said, drained = job.spec.podFailurePolicy.rules
        assert job.spec.suspend
        assert job.spec.template.spec.restartPolicy == "Never"  # which a failure policy requires
        assert said.action == "FailJob"
        assert said.onExitCodes.containerName == job.spec.template.spec.containers[0].name
        assert set(said.onExitCodes.values) == {StageError.exit_code, 2, GateError.exit_code}
        assert drained.action == "Ignore"


def test_the_program_takes_every_command_line(jobs, made, capsys):
    for job in documents("jobs.yaml"):
        arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
        arguments[arguments.index("/artifacts")] = str(made)
        main.app([*arguments, "--dry-run"], standalone_mode=False)
        assert arguments[-1] in capsys.readouterr().out


def test_the_schema_refuses_what_kubernetes_would():
    (job, *_) = documents("jobs.yaml")
    Job.model_validate(job)
    for path, value in [
        (("spec", "backoffLimit"), "3"),
        (("spec", "suspended"), True),
        (("metadata", "name"), "Evenkeel_ingest"),
        (("spec", "template", "spec", "restartPolicy"), "Always"),
    ]:
        (wrong, *_) = documents("jobs.yaml")
        place = wrong
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        with pytest.raises(ValidationError):
            Job.model_validate(wrong)


def started(stand_ins, state, *stages):
    stand_ins.add("kubectl", state)
    done = stand_ins.run(KUBERNETES / "run.sh", *stages, INTERVAL_SECONDS="0")
    patched = [call[1] for call in stand_ins.calls("kubectl") if call[0] == "patch"]
    return done, [job.removeprefix("job/evenkeel-") for job in patched]


def test_stages_start_one_after_another(stand_ins):
    third = 'echo >>"$0.count"; (($(wc -l <"$0.count") % 3)) || echo SuccessCriteriaMet Complete'
    done, stages = started(stand_ins, f"[[ $1 != get ]] || {{ {third}; }}")
    assert (done.returncode, done.stderr) == (0, "")
    assert stages == list(graph.NAMES)
    assert [call[0] for call in stand_ins.calls("kubectl")] == ["patch", "get", "get", "get"] * 7


def test_a_failed_stage_ends_it_with_its_log(stand_ins):
    state = (
        "case $* in logs*) echo error  no room ;; get*build*) echo FailureTarget Failed ;; "
        "get*) echo Complete ;; esac"
    )
    done, stages = started(stand_ins, state, "ingest", "build", "train")
    assert (done.returncode, done.stderr) == (1, "build failed\n")
    assert "error no room" in done.stdout
    assert stages == ["ingest", "build"]


def test_the_commands_of_the_readme_name_files_that_are_there():
    named = re.findall(r"-f (\S+?)[`\s]", (KUBERNETES / "README.md").read_text())
    assert len(named) == 4
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_image_holds_the_program_and_nothing_that_one_machine_made():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    left_out = [line for line in lines if not line.startswith("#")]
    made_here = (ROOT / ".gitignore").read_text().split()
    folders = {name.strip("/*") for name in made_here if name.endswith(("/", "/*"))}
    for name in {".git", ".venv", *folders}:
        assert any(fnmatch(name, pattern.removeprefix("**/")) for pattern in left_out), name
    for name in ("pipeline", "export", "configs", "requirements.txt", "run_pipeline.py"):
        assert not any(fnmatch(name, pattern) for pattern in left_out), name
