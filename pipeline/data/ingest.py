"""Reads, prepares and examines the images of a config; `ingest` writes them, `check-data` not."""

from pathlib import Path

from pipeline.config.schema import PipelineConfig
from pipeline.core import plugins
from pipeline.core.progress import Progress
from pipeline.data.decode_files import gather
from pipeline.data.make_splits import prepare, survey
from pipeline.data.quality.finding import Material
from pipeline.data.quality.run_checks import Examination, examine
from pipeline.data.sources import Source
from pipeline.data.validation import refuse_scale, refuse_source, refuse_unfit


def inspect(config: PipelineConfig, scratch: Path, progress: Progress) -> Examination:
    """Does all of ingest that writes nothing but decoded pixels to `scratch`.

    Raises:
        DataError: the images or labels are wrong.
    """
    section = config.data
    reader: Source = plugins.load(plugins.SOURCES, section.source)
    source = reader.load(section)
    refuse_source(source, are_classes_given=getattr(section, "classes", None) is not None)
    gathered = gather(source, scratch, progress)
    refuse_unfit(gathered)
    surveyed = survey(gathered, section, config.seed)
    if section.pixel_range is None:
        refuse_scale(gathered, {split: part.profile for split, part in surveyed.items()})
    prepared = prepare(surveyed, section, config.seed, gathered.classes)
    return examine(Material(gathered, surveyed, prepared, section.checks))
