"""What people bring goes into every format, or the reason lies outside of this project."""

import pytest

from pipeline.core.plugins import ROOT
from tests.zoo import bring, table
from tests.zoo.networks import APPLICATIONS, CONFIGS, NETWORKS, preset, presets
from tests.zoo.outside import outside

# Warnings of converters are none of a user, whose files come from child processes.
pytestmark = pytest.mark.filterwarnings("default")
long = pytest.mark.long


def hold(row):
    failed = {name: why for name, why in row.reasons.items() if why}
    if failed.keys() != outside(row.name).keys():
        pytest.fail("\n".join(f"{name}: {why}" for name, why in failed.items()), pytrace=False)


@long
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_passes_in_every_format_or_is_known_not_to(name, tmp_path):
    hold(bring.bring(name, NETWORKS[name], tmp_path, head_alone=name in APPLICATIONS))


@long
@pytest.mark.parametrize("name", presets())
def test_a_preset_passes_in_every_format_or_is_known_not_to(name, tmp_path):
    hold(bring.bring(name, lambda: preset(*presets()[name]), tmp_path))


@long
@pytest.mark.parametrize("name", CONFIGS)
def test_a_shipped_config_passes_in_every_format_or_is_known_not_to(name, tmp_path):
    hold(bring.run(name, *CONFIGS[name], tmp_path))


def test_every_shipped_config_is_in_the_zoo():
    shipped = (ROOT / "configs").rglob("*.yaml")
    names = {path.relative_to(ROOT / "configs").with_suffix("").as_posix() for path in shipped}
    assert names == CONFIGS.keys()


def test_the_page_has_a_row_for_all_that_is_brought_and_a_reason_for_each_that_fails():
    assert table.PAGE.read_text("utf-8") == table.page()
