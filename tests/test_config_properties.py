"""No config file and no override makes anything but an error that a person can act on."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.config.loading import load_config
from pipeline.config.strict_yaml import parse_yaml
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT

MNIST = ROOT / "configs" / "mnist.yaml"
CONFIGS = {path.name: path.read_bytes() for path in sorted((ROOT / "configs").glob("*.yaml"))}
VALUES = parse_yaml(CONFIGS["mnist.yaml"].decode(), "mnist.yaml")
some = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def paths_in(values, path=()):
    """The path of each key and list item, sections included."""
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths_in(value, (*path, key))


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner)
)
paths = st.sampled_from(sorted(paths_in(VALUES), key=repr))
keys = st.sampled_from(sorted({str(part) for path in paths_in(VALUES) for part in path}))


@pytest.fixture
def load(tmp_path):
    """Loads these bytes as a config; the project's own configs lie beside it."""
    for name, content in CONFIGS.items():
        (tmp_path / name).write_bytes(content)

    def load(content, *overrides):
        (tmp_path / "some.yaml").write_bytes(content)
        loaded_or_refused(tmp_path / "some.yaml", *overrides)

    return load


def loaded_or_refused(path, *overrides):
    messages = None
    try:
        assert load_config(path, overrides).name == path.stem
    except ConfigError as error:
        messages = error.args
    assert messages is None or all(messages)


@some
@given(st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'extends: "\\0"')
@example(b'extends: "\\ud800"')
@example(b"extends: some.yaml")
def test_no_text_makes_anything_but_an_error_to_act_on(load, content):
    load(content)


@some
@given(st.binary(max_size=200))
def test_no_bytes_make_anything_but_an_error_to_act_on(load, content):
    load(content)


@some
@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_no_damage_to_a_real_config_makes_anything_but_an_error_to_act_on(load, name, data):
    content = CONFIGS[name]
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, 30))
    new = data.draw(st.binary(max_size=9) | st.text(":-[]{}#&*!|>'\"%@`,?\n\t 0e.", max_size=9))
    load(
        content[:start]
        + (new if isinstance(new, bytes) else new.encode())
        + content[start + length :]
    )


@some
@given(paths, anything)
def test_no_value_at_any_key_makes_anything_but_an_error_to_act_on(load, path, value):
    changed = json.loads(json.dumps(VALUES))
    place = changed
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    load(json.dumps(changed, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@some
@given(st.lists(st.lists(keys, min_size=1, max_size=4).map(".".join), max_size=3), st.data())
def test_no_overrides_make_anything_but_an_error_to_act_on(names, data):
    values = st.text(max_size=9) | anything.map(lambda v: json.dumps(v, ensure_ascii=False))
    loaded_or_refused(MNIST, *(f"{name}={data.draw(values)}" for name in names))
