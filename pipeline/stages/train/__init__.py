"""train: trains the built network and keeps the weights that did best on validation.

With `train.model_file` it takes that model as it is instead, with `train.members` it joins
several networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from export.keras_files import load
from pipeline.config.strict_yaml import parse_yaml
from pipeline.config.train.tf_config import job_of
from pipeline.core.errors import DivergedError
from pipeline.data import dataset_json
from pipeline.data.batches import steps_per_epoch
from pipeline.stages.train import import_model
from pipeline.stages.train.members import train_members
from pipeline.stages.train.nearest_mean import publish_means
from pipeline.stages.train.worker_process import train_in_child
from pipeline.training.calibration import calibrate
from pipeline.training.callbacks import (
    KeepBest,
    ShowProgress,
    WriteHistory,
    WriteTensorBoard,
)
from pipeline.training.create_model import create_model
from pipeline.training.distributed.replicated_model import share_out
from pipeline.training.distributed.strategy import Devices, choose_devices
from pipeline.training.divergence import StopOnDivergence, with_last_good
from pipeline.training.fit import Training, fit, open_splits
from pipeline.training.load_trained import write_classes
from pipeline.training.precision import decide_execution, deterministic, machine
from pipeline.training.resume import Resume, describe
from pipeline.training.techniques import chain_of
from pipeline.workflow.stage import StageContext, StageResult


def run(context: StageContext) -> StageResult:
    """Publishes `model.keras` (float32), its classes, `history.csv` and TensorBoard logs."""
    result = _trained(context)
    return replace(result, metrics={**result.metrics, **_searched(context)})


def _trained(context: StageContext) -> StageResult:
    write_classes(context.output, dataset_json.read(context.inputs["ingest"]).classes)
    if context.config.train.model_file:
        return import_model.import_model(context)
    if context.config.train.members > 1:
        return train_members(context, _train)
    if job := job_of(context.config.train):
        return train_in_child(_train, context, job)
    return _train(context)


def _searched(context: StageContext) -> Mapping[str, str]:
    """For the report: that a search found nothing."""
    if "tune" not in context.inputs:
        return {}
    best = context.inputs["tune"] / "best.yaml"
    if parse_yaml(best.read_text(encoding="utf-8"), str(best)):
        return {}
    return {"search": "no trial was better than chance; the config kept its own values"}


@dataclass(frozen=True)
class Run:
    """What the stage has: its context, what trains, and where."""

    context: StageContext
    training: Training
    devices: Devices


def _train(context: StageContext) -> StageResult:
    run = _open(context)
    section, training, chain = context.config.train, run.training, run.training.chain
    untrained = load.load(context.inputs["build"] / load.MODEL)
    network = create_model(
        context.config,
        untrained.input_shape[1:],
        training.splits.num_classes,
        training.execution.policy,
    )
    network.set_weights(untrained.get_weights())
    model = share_out(chain.wrap(network), run.devices.strategy)
    if section.fine_tuning.trains_nothing:
        return publish_means(context, model, untrained, training.splits, chain.facts())
    best = KeepBest(section.monitor, chain.first_epoch())
    with deterministic(section.deterministic):
        try:
            _fit(model, run, best)
        except DivergedError as error:
            if run.devices.writes:
                raise with_last_good(error, untrained, best, context.scratch) from error
            raise DivergedError(f"{error}; the first worker says what is kept") from error
    trained = chain.unwrap(untrained, best.weights, context.output)
    facts: dict[str, Any] = {}
    if section.calibrate and not section.quantization_aware.enabled:
        facts = {"temperature": calibrate(trained, training.splits)}
    trained.save(context.output / load.MODEL)
    return _result(run, best, facts)


def _open(context: StageContext) -> Run:
    """What there is to train with, of which is told."""
    config, say = context.config, context.progress.line
    devices = choose_devices(config.train)
    for line in devices.lines:
        say(line)
    ingest = context.inputs["ingest"]
    dataset = dataset_json.read(ingest)
    splits, place = open_splits(ingest, config.train.memory_limit_mib, dataset.num_classes)
    chain = chain_of(config.train, dataset, splits.validation, say)
    chain.prepare()
    execution = decide_execution(devices.allow(config), dataset.image_shape, splits.num_classes)
    for line in (f"{execution.policy} on {execution.reason}", place):
        say(line)
    return Run(context, Training(config, splits, execution, chain), devices)


def _fit(model: Any, run: Run, best: KeepBest) -> None:
    context, section = run.context, run.context.config.train
    images = len(run.training.splits.train)
    total = section.epochs * steps_per_epoch(images, section.batch_size)
    resume = _resume(run)
    with context.progress.task("training", total) as task:
        callbacks = [
            StopOnDivergence(section),
            best,
            WriteHistory(context.output / "history.csv"),
            WriteTensorBoard(context.output / "tensorboard"),
            ShowProgress(task),
        ]
        fit(model, run.training, callbacks, resume)


def _resume(run: Run) -> Resume:
    """Where a killed training of the same left off, which is said, or the beginning."""
    context, devices = run.context, run.devices
    section, say = context.config.train, context.progress.line
    fingerprint = f"{context.identity} {run.training.execution.policy}"
    file = devices.checkpoints(context.scratch)
    where = devices.place_of(machine())
    resume = Resume(file, fingerprint, where, file.read(fingerprint, say))
    devices.agree(f"{fingerprint} {resume.place}")
    if words := describe(resume, section.deterministic, section.epochs):
        say(words)
    return resume


def _result(run: Run, best: KeepBest, calibration: Mapping[str, Any]) -> StageResult:
    section, execution = run.context.config.train, run.training.execution
    chain = run.training.chain
    accuracy = best.logs["val_accuracy"]
    kept = f"{'lowest' if section.monitor == 'val_loss' else 'highest'} {section.monitor}"
    return StageResult(
        f"validation accuracy {accuracy:.2%}, {kept} in epoch {best.epoch + 1} of "
        f"{section.epochs}{chain.summary()}",
        {
            "val_accuracy": accuracy,
            "val_loss": best.logs["val_loss"],
            "best_epoch": best.epoch + 1,
            "precision": execution.policy,
            "jit_compile": int(execution.jit_compile),
            "device": execution.reason,
            "strategy": run.devices.words,
            **chain.facts(),
            **calibration,
        },
    )
