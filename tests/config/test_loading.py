"""Config files and overrides: what counts when, and what each mistake is answered with."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.layers import as_overrides
from pipeline.config.loading import load_config, with_values
from pipeline.config.schema import candidates
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT

MNIST = ROOT / "configs" / "mnist.yaml"
MINIMAL = """
data: {source: idx}
model: {preset: compact_cnn}
export: {formats: [onnx]}
"""


@pytest.fixture
def write(tmp_path):
    def write_config(text, name="some.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_config


def message_of(path, *overrides):
    """The error's lines; there must be exactly one."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.name)
def test_each_config_of_the_project_loads(path):
    assert load_config(path).name == path.stem


def test_what_a_config_leaves_out_has_its_default(write):
    config = load_config(write(MINIMAL))
    assert (config.name, config.seed) == ("some", 0)
    assert config.train.epochs == 10
    assert not config.tune.enabled
    assert not config.augmentation.is_enabled
    assert config.model.filters == 24


def test_overrides_count_more_than_the_file_and_later_ones_more_than_earlier(write):
    path = write(MINIMAL + "train: {epochs: 3, batch_size: 64}")
    config = load_config(path, ["train.epochs=4", "train.epochs=5", "export.onnx.opset=15"])
    assert (config.train.epochs, config.train.batch_size, config.export.onnx.opset) == (5, 64, 15)


def test_extends_merges_sections_over_a_file_named_relative_to_its_own(write):
    write(MINIMAL + "train: {epochs: 3, batch_size: 64}\nseed: 7", "base/first.yaml")
    write("extends: first.yaml\ntrain: {epochs: 4}", "base/second.yaml")
    config = load_config(write("extends: base/second.yaml\ntrain: {momentum: 0.5}"))
    assert config.name == "some"
    assert config.seed == 7
    assert (config.train.epochs, config.train.batch_size) == (4, 64)
    assert config.train.momentum == 0.5


def test_a_list_is_replaced_and_not_merged(write):
    write(MINIMAL.replace("[onnx]", "[onnx, saved_model]"), "base.yaml")
    config = load_config(write("extends: base.yaml\nexport: {formats: [tflite_int8]}"))
    assert config.export.formats == ("tflite_int8",)


def test_naming_another_source_keeps_what_every_source_has():
    config = load_config(
        ROOT / "configs" / "smoke.yaml", ["data.source=tfds", "data.dataset=mnist"]
    )
    assert (config.data.source, config.data.train_limit) == ("tfds", 2000)


def test_naming_another_preset_drops_the_inherited_options(write):
    write(MINIMAL.replace("compact_cnn", "compact_cnn, filters: 8, l2: 0.25"), "base.yaml")
    other = load_config(write("extends: base.yaml\nmodel: {preset: two_conv}"))
    same = load_config(write("extends: base.yaml\nmodel: {preset: compact_cnn}"))
    overridden = load_config(MNIST, ["model.preset=two_conv", "model.dropout=0.3"])
    assert (other.model.preset, other.model.l2) == ("two_conv", 0.0)
    assert (same.model.filters, same.model.l2) == (8, 0.25)
    assert overridden.model.dropout == 0.3


def test_naming_another_source_on_the_command_line_keeps_its_options_in_either_order(write):
    path = write(MINIMAL.replace("idx}", "idx, folder: somewhere}"))
    for overrides in (
        ["data.source=tfds", "data.dataset=mnist"],
        ["data.dataset=mnist", "data.source=tfds"],
    ):
        config = load_config(path, overrides)
        assert (config.data.source, config.data.dataset) == ("tfds", "mnist")


def test_a_later_search_space_replaces_the_inherited_one():
    config = load_config(MNIST, ["tune.space={train.momentum: {choice: [0.5]}}"])
    assert list(config.tune.space) == ["train.momentum"]


def test_overrides_can_name_single_keys_of_the_search_space():
    config = load_config(
        MNIST,
        [
            "tune.space.train.momentum={choice: [0.5]}",
            "tune.space.model.filters={linear: [8, 16]}",
        ],
    )
    assert list(config.tune.space) == ["train.momentum", "model.filters"]


def test_candidates_are_the_ends_of_a_range_and_all_choices():
    space = load_config(
        MNIST,
        [
            "tune.space={model.filters: {linear: [8, 16]}, train.learning_rate: {log: [1e-3, 1]}, "
            "train.optimizer: {choice: [sgd, adam]}}"
        ],
    ).tune.space
    assert [candidates(d) for d in space.values()] == [(8, 16), (1e-3, 1), ("sgd", "adam")]
    assert [type(end) for end in candidates(space["model.filters"])] == [int, int]


def test_views_need_an_augmentation_that_moves_pixels_or_a_search_for_one(write):
    path = write(MINIMAL + "evaluate: {test_time_views: 4}\ntune: {enabled: true}")
    found = "tune.space={augmentation.rotation_degrees: {choice: [0, 5]}}"
    assert load_config(path, [found]).evaluate.test_time_views == 4
    load_config(path, ["augmentation.vertical_flip_probability=0.5", "tune.enabled=false"])
    for override in (found.replace("rotation_degrees", "noise_stddev"), "tune.enabled=false"):
        message = message_of(path, override)
        assert message.startswith(f"{path}: evaluate.test_time_views is 4, but augmentation moves")


def test_mixing_can_be_searched():
    alpha, share = "augmentation.mixup_alpha: {linear: [0, 0.4]}", "{choice: [0, 1]}"
    config = load_config(MNIST, [f"tune.space={{{alpha}, augmentation.cutmix_share: {share}}}"])
    tried = with_values(config, {"augmentation.mixup_alpha": 0.3, "augmentation.cutmix_share": 1})
    assert tried.augmentation.mixup_alpha == 0.3
    assert tried.augmentation.mixes_images


def test_with_values_changes_only_the_keys_it_names():
    before = load_config(MNIST).model_dump()
    after = with_values(
        load_config(MNIST), {"train.learning_rate": 0.5, "model.filters": 4}
    ).model_dump()
    assert after["train"] == {**before["train"], "learning_rate": 0.5}
    assert after["model"] == {**before["model"], "filters": 4}
    unchanged = before.keys() - {"train", "model"}
    assert {key: after[key] for key in unchanged} == {key: before[key] for key in unchanged}


def test_with_values_takes_another_preset_and_its_options_in_any_order():
    config = load_config(MNIST, ["model.l2=0.25"])
    changed = with_values(config, {"model.dropout": 0.1, "model.preset": "two_conv"})
    assert (changed.model.preset, changed.model.dropout, changed.model.l2) == ("two_conv", 0.1, 0)


def test_with_values_refuses_what_a_file_could_not_say():
    with pytest.raises(ConfigError, match=r"^mnist: train\.learning_rate is 11; it should be less"):
        with_values(load_config(MNIST), {"train.learning_rate": 11})


BAD_VALUES = [
    ("train.epoch=5", "train.epoch is no known key. Did you mean 'epochs'? Available: batch_size,"),
    ("trian.epochs=5", "trian is no known key. Did you mean 'train'? Available: augmentation,"),
    ("model.filtrs=8", "model.filtrs is no known key. Did you mean 'filters'?"),
    ("data.foldr=x", "data.foldr is no known key. Did you mean 'folder'?"),
    ("export.saved_model.zip=1", "export.saved_model.zip is no known key."),
    ("extends=base.yaml", "extends is no known key."),
    ("name=x", "remove `name`; it is the file's own name"),
    ("train.epochs=five", "train.epochs is 'five'; it should be a whole number"),
    ("train.epochs=2.0", "train.epochs is 2.0; it should be a whole number"),
    ("train.epochs=true", "train.epochs is True; it should be a whole number"),
    ("train.epochs=", "train.epochs is empty; it should be a whole number"),
    ("seed=1e3", "seed is 1000.0; it should be a whole number"),
    ("train.momentum=off", "train.momentum is 'off'; it should be a number"),
    ("train.nesterov=off", "train.nesterov is 'off'; it should be true or false"),
    ("data.folder=5", "data.folder is 5; it should be text"),
    ("export.formats=onnx", "export.formats is 'onnx'; it should be a list"),
    ("train=5", "train is 5; it should be a section of `key: value` lines"),
    ("train=", "train is empty; it should be a section of `key: value` lines"),
    ("train.epochs=0", "train.epochs is 0; it should be greater than or equal to 1"),
    ("train.momentum=1", "train.momentum is 1; it should be less than 1"),
    ("seed=-1", "seed is -1; it should be greater than or equal to 0"),
    ("train.learning_rate=1e400", "train.learning_rate is inf; it should be a finite number"),
    ("data.median_filter=4", "data: median_filter must be odd, not 4"),
    ("train.nesterov=true", "train: nesterov needs optimizer: sgd with a momentum above 0"),
    ("train.optimizer=adm", "train.optimizer is 'adm'. Did you mean 'adam'? Available: sgd, adam,"),
    ("train.jit_compile=maybe", "train.jit_compile is 'maybe'. Available: auto, True, False"),
    ("data.source=idy", "data.source is 'idy'. Did you mean 'idx'? Available: "),
    ("data.source=[idx]", "data.source is ['idx']. "),
    ("model.preset=compact", "model.preset is 'compact'. Did you mean 'compact_cnn'? Available: "),
    ("export.formats=[onx]", "export.formats[0] is 'onx'. Did you mean 'onnx'? Available: onnx,"),
    ("export.formats=[onnx, onnx]", "export: formats names onnx more than once"),
    ("export.formats=[]", "export: formats is empty; name one or more"),
    ("verify.gates={onx: {tie_margin: 0}}", "verify.gates.onx is 'onx'. Did you mean 'onnx'?"),
    ("verify.gates={onnx: {}}", "verify.gates.onnx: a gate needs tie_margin,"),
    ("evaluate.test_time_views=0", "evaluate.test_time_views is 0; it should be greater than"),
    ("train.epochs=[", "train.epochs:1: while parsing a flow node"),
    ("train.epochs=!!int x", "train.epochs:1: tags"),
]


@pytest.mark.parametrize(("override", "expected"), BAD_VALUES)
def test_a_bad_override_is_named_with_what_was_expected(override, expected):
    assert message_of(MNIST, override).startswith(f"command line: {expected}")


@pytest.mark.parametrize(
    "override", ["train.epochs", "=5", "train.=5", ".a=5", "train..epochs=5", "a b=5", "-x=5", ""]
)
def test_an_override_without_key_and_value_is_refused(override):
    assert message_of(MNIST, override) == (
        f"{override!r} is not an override; expected key=value, such as train.epochs=5"
    )


def test_a_long_value_is_cut_in_the_message():
    assert len(message_of(MNIST, f"train.epochs={'a' * 1000}")) < 200


SPACE_ERRORS = [
    ("{train.lr: {log: [1e-4, 1e-2]}}", ": train.lr is no known key. "),
    ("{train.learning_rate: {log: [1e-4, 100]}}", ": train.learning_rate is 100; it should be"),
    ("{train.learning_rate: {log: [1, 0.1]}}", ".train.learning_rate.log: expected [low, high]"),
    ("{train.learning_rate: {log: [0.1]}}", ".train.learning_rate.log: expected [low, high]"),
    ("{train.learning_rate: {log: [0, 1]}}", ".train.learning_rate.log: a range on a log scale"),
    ("{train.learning_rate: {log: [x, 1]}}", ".train.learning_rate.log[0]: 'x' is no number"),
    ("{train.learning_rate: {linear: [1e-4, 1e400]}}", ".train.learning_rate.linear[1]: inf is no"),
    ("{train.learning_rate: {lag: [0.1, 1]}}", ".train.learning_rate is {'lag': [0.1, 1]}; it"),
    ("{train.momentum: 0.5}", ".train.momentum is 0.5; it should be {log: [low, high]}"),
    (
        "{train.batch_size: {linear: [1, 2.5]}}",
        ": train.batch_size is 2.5; it should be a whole number",
    ),
    ("{train.epochs: {linear: [1, 2]}}", ": train.epochs cannot be searched; tune.epochs decides"),
    (
        "{model.preset: {choice: [two_conv, compact_cnn]}, model.filters: {choice: [8]}}",
        ": model.filters is no known key",
    ),
    ("{train.optimizer: {choice: [adam, adm]}}", ": train.optimizer is 'adm'. Did you mean"),
    ("{train.optimizer: {choice: []}}", ".train.optimizer: expected choices of one type"),
    ("{train.momentum: {choice: [0.5, a]}}", ".train.momentum: expected choices of one type"),
    ("{train.momentum: {choice: [[0.5]]}}", ".train.momentum.choice[0]: [0.5] is no number"),
    ("{train: {choice: [1]}}", ": train is 1; it should be a section"),
    ("{data.source: {choice: [idx]}}", ": data.source cannot be searched; expected a key of model"),
    ("{seed: {choice: [1]}}", ": seed cannot be searched"),
    ("{train.monitor: {choice: [val_loss]}}", ": train.monitor cannot be searched; tune.objective"),
    ("{train.strategy: {choice: [none, auto]}}", ": train.strategy cannot be searched; a trial"),
    ("{train.memory_limit_mib: {choice: [1, 2]}}", ": train.memory_limit_mib cannot be searched"),
    (
        "{train.quantization_aware.enabled: {choice: [true, false]}}",
        ": train.quantization_aware.enabled cannot be searched; trials train without",
    ),
    (
        "{train.pruning.sparsity: {linear: [0.3, 0.9]}}",
        ": train.pruning.sparsity cannot be searched; trials train without",
    ),
    (
        "{train.distillation.teacher: {choice: [a, b]}}",
        ": train.distillation.teacher cannot be searched; trials train without",
    ),
    ("{train.gives: {choice: [logits]}}", ": train.gives cannot be searched; a trial trains"),
    ("{train.initial_weights: {choice: [a, b]}}", ": train.initial_weights cannot be searched"),
    ("[]", " is []; it should be a section"),
]


@pytest.mark.parametrize(("space", "expected"), SPACE_ERRORS)
def test_a_search_space_is_checked_when_the_config_loads(space, expected):
    assert message_of(MNIST, f"tune.space={space}").startswith(
        f"command line: tune.space{expected}"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.mean=0.13", "train.quantization_aware.enabled=true"],
        ["train.quantization_aware.enabled=true", "tune.space={model.mean: {choice: [0.13]}}"],
    ],
)
def test_a_shift_of_pixels_and_8_bits_are_refused_together_in_a_search_too(overrides):
    message = message_of(MNIST, *overrides)
    assert re.match(r"command line: .*model\.mean and train\.quantization_aware exclude", message)


def test_a_preset_is_not_searched_where_each_member_has_its_own():
    space = "tune.space={model.preset: {choice: [lenet5, two_conv]}}"
    members = "train={members: 2, member_presets: [lenet5, two_conv]}"
    assert message_of(MNIST, space, members) == (
        "command line: tune.space: model.preset cannot be searched; train.member_presets decides it"
    )


def test_a_search_among_heads_that_need_no_training_is_refused():
    heads = "tune.space={train.fine_tuning.head: {choice: [new, nearest_mean]}}"
    message = message_of(MNIST, heads, "train.initial_weights=a.keras")
    assert "nearest_mean trains nothing, so there is nothing to search" in message


def test_a_search_without_a_space_is_refused():
    message = message_of(MNIST, "tune.space={}")
    assert message == "command line: tune: tune.enabled needs at least one key in tune.space"


def test_a_mistake_in_a_file_is_blamed_on_that_file(write):
    base = write(MINIMAL + "train: {epoch: 5}", "base.yaml")
    child = write("extends: base.yaml\nseed: x")
    with pytest.raises(ConfigError) as caught:
        load_config(child, ["evaluate.batch_size=0"])
    lines = str(caught.value).splitlines()
    places = {line.split(": ")[0]: line.split(": ")[1].split()[0] for line in lines}
    assert places == {
        str(base): "train.epoch",
        str(child): "seed",
        "command line": "evaluate.batch_size",
    }


def test_a_missing_section_is_blamed_on_the_file_and_not_on_an_override(write):
    path = write(MINIMAL.replace("model: {preset: compact_cnn}", ""))
    message = message_of(path, "train.epochs=5")
    assert message.startswith(f"{path}: model.preset is missing. Available: compact_cnn,")


def test_a_missing_option_of_a_plug_in_is_named(write):
    path = write(MINIMAL.replace("idx", "tfds"))
    assert message_of(path) == f"{path}: data.dataset is missing"


@pytest.mark.parametrize("text", ["", "# nothing", "- a", "text", "5"])
def test_a_file_without_sections_is_refused(write, text):
    path = write(text)
    assert message_of(path).startswith(f"{path}: expected `section:` lines, found ")


def test_a_circle_of_extends_is_refused(write):
    write("extends: some.yaml", "other.yaml")
    path = write("extends: other.yaml")
    assert "`extends` goes in a circle" in message_of(path)


def test_extends_must_name_a_file(write):
    path = write("extends: [a.yaml]")
    assert message_of(path) == f"{path}: extends is ['a.yaml']; expected the path of a YAML file"


def test_a_missing_parent_is_named_with_its_path(write):
    path = write("extends: sme.yaml")
    missing = path.parent / "sme.yaml"
    assert message_of(path) == (
        f"{path}: extends sme.yaml: {missing}: no such config file. Did you mean {path}?"
    )


def test_a_missing_file_is_answered_with_the_nearest_name():
    message = message_of(ROOT / "configs" / "mnits.yaml")
    assert message.endswith(f"mnits.yaml: no such config file. Did you mean {MNIST}?")


def test_a_missing_file_with_no_near_name_points_to_the_option(tmp_path):
    assert message_of(tmp_path / "x.yaml").endswith("no such config file. Check the path.")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"seed: \xe9"])
def test_a_file_that_is_no_text_is_refused(tmp_path, content):
    path = tmp_path / "some.yaml"
    path.write_bytes(content)
    message = message_of(path)
    assert message.startswith(f"{path}: is no UTF-8 text (")
    assert message.endswith("save it as UTF-8")


def test_a_folder_is_no_config(tmp_path):
    message = message_of(tmp_path)
    assert message == f"{tmp_path}: cannot be read (Is a directory); name a config file"


def test_a_name_beyond_ascii_survives_as_an_override():
    (text,) = as_overrides({"data.folder": "/\N{BOMB}/\u732b"})
    assert load_config(MNIST, [text]).data.folder == Path("/\N{BOMB}/\u732b")


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_loads(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load_config(path).export.formats == ("onnx",)


keys = st.sampled_from(
    ["seed", "train", "train.epochs", "tune.space", "model.preset", "data.folder", "a", "a..b"]
)
values = st.one_of(
    st.text(max_size=10),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["{}", "[]", "{a: 1}", "[a, 1]", "null", "true", '"\\ud800"', "adam"]),
)


@given(st.one_of(st.text(max_size=20), st.builds("{}={}".format, keys, values)))
def test_any_override_gives_a_config_or_one_line_a_mistake(override):
    problem = "command line: "
    try:
        load_config(MNIST, [override])
    except ConfigError as error:
        problem = str(error)
    assert problem.startswith(("command line: ", repr(override)))
    assert not re.search(r"[\r\x85\u2028\u2029]", problem)


def test_home_is_found_in_a_path(write, monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    path = write(MINIMAL.replace("idx}", "idx, folder: ~/images}"))
    assert load_config(path).data.folder == Path("/somewhere/images")
