"""train: trains the built network and keeps the weights that did best on validation.

With `train.model_file` it takes that model as it is instead, with `train.members` it joins
several networks.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from export.keras_files import load
from pipeline.config.schema import PipelineConfig
from pipeline.config.strict_yaml import parse_yaml
from pipeline.config.train.tf_config import job_of
from pipeline.core.errors import DivergedError
from pipeline.data import dataset_json
from pipeline.data.batches import steps_per_epoch
from pipeline.data.dataset_json import Description
from pipeline.stages.train import import_model
from pipeline.stages.train.members import train_members
from pipeline.stages.train.nearest_mean import publish_means
from pipeline.stages.train.worker_process import train_in_child
from pipeline.training import techniques
from pipeline.training.callbacks import (
    KeepBest,
    ShowProgress,
    WriteHistory,
    WriteTensorBoard,
)
from pipeline.training.create_model import create_model
from pipeline.training.determinism import deterministic, machine
from pipeline.training.distributed.replicated_model import share_out
from pipeline.training.distributed.strategy import Devices, choose_devices
from pipeline.training.divergence import StopOnDivergence, with_last_good
from pipeline.training.fit import Splits, fit, open_splits
from pipeline.training.load_trained import write_classes
from pipeline.training.precision import Execution, decide_execution
from pipeline.training.resume import Resume, describe
from pipeline.training.techniques.distillation import Teacher, learn_from, read_teacher
from pipeline.training.techniques.fine_tuning import begin
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


def _train(context: StageContext) -> StageResult:
    config = context.config
    devices = choose_devices(config.train)
    for line in devices.lines:
        context.progress.line(line)
    ingest = context.inputs["ingest"]
    dataset = dataset_json.read(ingest)
    splits, place = open_splits(ingest, config.train.memory_limit_mib, dataset.num_classes)
    teacher = _teacher(context, dataset, splits)
    execution = decide_execution(devices.allow(config), dataset.image_shape, splits.num_classes)
    network = create_model(config, dataset.image_shape, splits.num_classes, execution.policy)
    untrained = load.load(context.inputs["build"] / load.MODEL)
    network.set_weights(untrained.get_weights())
    for line in (f"{execution.policy} on {execution.reason}", place):
        context.progress.line(line)
    lineage = begin(network, config.train, dataset.classes, context.progress.line)
    model = share_out(techniques.for_training(network, config.train), devices.strategy)
    if teacher and config.train.distillation:
        learn_from(teacher.model, model, config.train.distillation)
    if config.train.fine_tuning.trains_nothing:
        return publish_means(context, model, untrained, splits, lineage)
    with deterministic(config.train.deterministic):
        best = KeepBest(config.train.monitor, techniques.first_candidate(config.train))
        try:
            _fit(model, context, splits, execution, best, devices)
        except DivergedError as error:
            if devices.writes:
                raise with_last_good(error, untrained, best, context.scratch) from error
            raise DivergedError(f"{error}; the first worker says what is kept") from error
    size = techniques.publish(model, best.weights, untrained, context.output, config.train)
    facts = {**lineage, **size, **(teacher.facts() if teacher else {})}
    result = _result(config, execution, best, devices)
    return replace(
        result,
        summary=result.summary + techniques.in_words(size, config.train),
        metrics={**result.metrics, **facts},
    )


def _teacher(context: StageContext, dataset: Description, splits: Splits) -> Teacher | None:
    """The trained model to learn from, of which is told, where the config names one."""
    section = context.config.train.distillation
    if section is None:
        return None
    teacher = read_teacher(section, dataset, splits.validation)
    context.progress.line(teacher.describe(section))
    return teacher


def _fit(
    model: Any,
    context: StageContext,
    splits: Splits,
    execution: Execution,
    best: KeepBest,
    devices: Devices,
) -> None:
    section = context.config.train
    total = section.epochs * steps_per_epoch(len(splits.train), section.batch_size)
    resume = _resume(context, execution, devices)
    with context.progress.task("training", total) as task:
        callbacks = [
            StopOnDivergence(section),
            best,
            WriteHistory(context.output / "history.csv"),
            WriteTensorBoard(context.output / "tensorboard"),
            ShowProgress(task),
        ]
        fit(model, context.config, splits, execution, callbacks, resume)


def _resume(context: StageContext, execution: Execution, devices: Devices) -> Resume:
    """Where a killed training of the same left off, which is said, or the beginning."""
    section, say = context.config.train, context.progress.line
    fingerprint = f"{context.identity} {execution.policy}"
    file = devices.checkpoints(context.scratch)
    where = devices.place_of(machine())
    resume = Resume(file, fingerprint, where, file.read(fingerprint, say))
    devices.agree(f"{fingerprint} {resume.place}")
    if words := describe(resume, section.deterministic, section.epochs):
        say(words)
    return resume


def _result(
    config: PipelineConfig, execution: Execution, best: KeepBest, devices: Devices
) -> StageResult:
    accuracy, monitor = best.logs["val_accuracy"], config.train.monitor
    kept = f"{'lowest' if monitor == 'val_loss' else 'highest'} {monitor}"
    return StageResult(
        f"validation accuracy {accuracy:.2%}, {kept} in epoch {best.epoch + 1} of "
        f"{config.train.epochs}",
        {
            "val_accuracy": accuracy,
            "val_loss": best.logs["val_loss"],
            "best_epoch": best.epoch + 1,
            "precision": execution.policy,
            "jit_compile": int(execution.jit_compile),
            "device": execution.reason,
            "strategy": devices.words,
        },
    )
