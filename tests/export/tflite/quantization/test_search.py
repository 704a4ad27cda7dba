from dataclasses import replace

import keras
import pytest

from export.tflite.flatbuffer import dtype_of, operators, parse, scales, tensors_by_name
from export.tflite.interpreter import Run
from export.tflite.quantization import layer_errors, ranges
from export.tflite.quantization import search as search_module
from export.tflite.quantization.quantize import left_in_float
from export.tflite.quantization.recipe import Recipe
from export.tflite.quantization.search import LITERT, TENSORFLOW, Subject, search
from pipeline.core.errors import ExportError
from tests.export import float_models


def subject_of(model, prepared, bound=0.3, recipe=None, count=200):
    images = float_models.images(count)
    labels = model.predict(images, verbose=0).argmax(axis=1)
    observed = ranges.observe(prepared, images[:50])
    return Subject(prepared, observed, recipe or Recipe(), images, labels, bound, lambda m: m)


@pytest.fixture(scope="module")
def unbalanced(tmp_path_factory):
    return subject_of(*float_models.unbalanced(tmp_path_factory.mktemp("unbalanced")))


def test_a_model_that_8_bits_ruin_holds_after_its_worst_layers_stay_more_precise(unbalanced):
    found = search(unbalanced, max_tries=4)
    first, *_, last = found.attempts
    assert found.float_accuracy == 1
    assert first.kept == {}
    assert first.drop_points > 5
    assert found.holds
    assert last.drop_points <= 0.3
    harmless, loud = float_models.names(unbalanced.prepared, "CONV_2D")
    assert loud in last.kept
    assert harmless not in last.kept
    assert len(found.model) == last.size_bytes
    answers = Run(found.model).probabilities(unbalanced.images).argmax(axis=1)
    assert 100 * (answers != unbalanced.labels).mean() == pytest.approx(last.drop_points)


def test_what_was_kept_is_what_the_file_holds(unbalanced):
    found = search(unbalanced, max_tries=4)
    kept = found.record()["kept"]
    tensors = tensors_by_name(parse(found.model))
    assert kept
    assert {name: dtype_of(tensors[name]) for name in kept} == kept


def test_each_try_and_each_layer_is_on_record(unbalanced):
    found = search(unbalanced, max_tries=4).record()
    assert found["holds"]
    assert found["chosen"] == len(found["tries"]) - 1
    assert [t["engine"] for t in found["tries"]] == [LITERT] * len(found["tries"])
    kinds = [layer["kind"] for layer in found["layers"]]
    assert kinds == ["CONV_2D", "CONV_2D", "FULLY_CONNECTED", "SOFTMAX"]
    assert all(layer["own_error"] is not None for layer in found["layers"])


def test_with_one_try_the_whole_model_is_int8_and_is_said_not_to_hold(unbalanced):
    found = search(unbalanced, max_tries=1)
    assert len(found.attempts) == 1
    assert not found.holds
    assert left_in_float(found.model) == ()
    assert found.own_errors == {}


def test_a_model_that_holds_is_not_tried_again(unbalanced):
    found = search(replace(unbalanced, bound=100.0), max_tries=4)
    assert [attempt.kept for attempt in found.attempts] == [{}]
    assert found.holds


def test_a_model_that_nothing_helps_fails_and_the_most_accurate_try_is_taken(tmp_path):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    faint = keras.initializers.RandomNormal(0, 1e-6)
    model, prepared = float_models.prepared(
        tmp_path,
        layers.Flatten(),
        layers.Dense(8),
        layers.Dense(4, kernel_initializer=faint),
        layers.Softmax(),
    )
    found = search(subject_of(model, prepared), max_tries=6)
    assert len(found.attempts) >= 2
    assert not found.holds
    drops = [t.drop_points for t in found.attempts if t.drop_points is not None]
    assert min(drops) > 5
    assert found.attempts[found.chosen].drop_points == min(drops)


def test_4_bit_kernels_that_hurt_get_8_bits(unbalanced):
    subject = replace(unbalanced, recipe=Recipe("int4"), bound=-1.0)
    found = search(subject, max_tries=4)
    _, *later = found.attempts
    kernels = {
        *float_models.names(subject.prepared, "CONV_2D"),
        *float_models.names(subject.prepared, "FULLY_CONNECTED"),
    }
    assert later
    for attempt in later:
        assert set(attempt.kept.values()) == {"int8"}
        assert set(attempt.kept) < kernels


@pytest.fixture(scope="module")
def with_elu(tmp_path_factory):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    return subject_of(
        *float_models.prepared(
            tmp_path_factory.mktemp("elu"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(8),
            layers.ELU(),
            layers.Dense(4),
            layers.Softmax(),
        ),
        bound=100.0,
    )


def test_tensorflow_is_asked_where_an_operator_would_stay_in_float(with_elu):
    found = search(with_elu, max_tries=4, tensorflow=lambda recipe: with_elu.prepared)
    assert [attempt.engine for attempt in found.attempts] == [TENSORFLOW]


def test_where_tensorflow_fails_the_operator_stays_in_float_and_is_declared(with_elu):
    def fails(recipe):
        raise RuntimeError("no such operator\nand more")

    found = search(with_elu, max_tries=4, tensorflow=fails)
    failed, taken = found.attempts
    assert failed.failure == "RuntimeError: no such operator"
    assert taken.kept == dict.fromkeys(float_models.names(with_elu.prepared, "ELU"), "float32")
    assert found.holds


def test_tensorflow_is_not_asked_without_need(unbalanced):
    found = search(replace(unbalanced, bound=100.0), 4, tensorflow=lambda recipe: b"")
    assert [attempt.engine for attempt in found.attempts] == [LITERT]


def test_no_file_at_all_is_an_error_with_the_reason(unbalanced):
    def refuses(model):
        raise ValueError("it is too large")

    with pytest.raises(ExportError, match="ValueError: it is too large"):
        search(replace(unbalanced, complete=refuses), max_tries=2)


@pytest.mark.parametrize("error", [KeyError("scale"), TypeError("no"), IndexError("list")])
def test_whatever_litert_quantizer_raises_costs_its_own_tries_alone(unbalanced, monkeypatch, error):
    def fails(*_):
        raise error

    for module in (search_module, layer_errors):
        monkeypatch.setattr(module, "quantize", fails)
    asked = replace(unbalanced, bound=-1.0)
    found = search(asked, max_tries=4, tensorflow=lambda recipe: unbalanced.prepared)
    assert [attempt.engine for attempt in found.attempts] == [TENSORFLOW, TENSORFLOW, LITERT]
    assert found.model == unbalanced.prepared
    assert found.attempts[2].failure == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(("weights", "precisions"), [("int8", ["int16", "float32"]), ("int4", [])])
def test_the_layers_of_which_the_name_speaks_are_never_all_given_up(
    unbalanced, monkeypatch, weights, precisions
):
    every = {operator.name: 1.0 for operator in operators(parse(unbalanced.prepared))}
    monkeypatch.setattr(layer_errors, "own_errors", lambda *_: every)
    subject = replace(unbalanced, recipe=Recipe(weights), bound=-1.0)
    later = [attempt for attempt in search(subject, max_tries=6).attempts if attempt.kept]
    assert [set(attempt.kept.values()) for attempt in later] == [{p} for p in precisions]
    kernels = {
        *float_models.names(unbalanced.prepared, "CONV_2D"),
        *float_models.names(unbalanced.prepared, "FULLY_CONNECTED"),
    }
    in_float = [set(attempt.kept) for attempt in later if "float32" in attempt.kept.values()]
    assert not any(kernels <= kept for kept in in_float)


def test_layers_with_most_of_the_numbers_are_not_given_up(unbalanced, monkeypatch):
    (large, small), (last,) = (
        float_models.names(unbalanced.prepared, kind) for kind in ("CONV_2D", "FULLY_CONNECTED")
    )
    assert 7 * 7 * 1 * 4 > 2 * 2 * 4 * 6 + 1 * 1 * 6 * 4  # their kernels
    monkeypatch.setattr(layer_errors, "own_errors", lambda *_: {small: 0.8, large: 1.0, last: 0.9})
    asked = replace(unbalanced, bound=-1.0)
    _, _, *later = search(asked, max_tries=6).attempts
    assert [attempt.kept for attempt in later] == [
        dict.fromkeys((small, last), "int16"),  # the first layer is next to uint8
        dict.fromkeys((small, last), "float32"),
    ]


def test_no_way_is_tried_twice(unbalanced, monkeypatch):
    large, small = float_models.names(unbalanced.prepared, "CONV_2D")
    monkeypatch.setattr(layer_errors, "own_errors", lambda *_: {small: 1.0, large: 0.2})
    _, _, *later = search(replace(unbalanced, bound=-1.0), max_tries=6).attempts
    # The share that adds the large layer adds nothing: it can have neither precision.
    assert [attempt.kept for attempt in later] == [{small: "int16"}, {small: "float32"}]


def test_layers_next_to_uint8_ends_are_not_kept_in_16_bits(unbalanced, monkeypatch):
    every = {operator.name: 1.0 for operator in operators(parse(unbalanced.prepared))}
    monkeypatch.setattr(layer_errors, "own_errors", lambda *_: every)
    (*_, at_uint8) = search(replace(unbalanced, bound=-1.0), max_tries=3).attempts
    first, *_, last = every
    assert set(at_uint8.kept) == set(every) - {first, last}
    other_ends = replace(unbalanced, bound=-1.0, recipe=Recipe(io="int8"))
    (*_, at_int8) = search(other_ends, max_tries=3).attempts
    assert set(at_int8.kept) == set(every)
    assert (at_uint8.failure, at_int8.failure) == ("", "")


def kernel_scales(model):
    """How many scales the kernel of each layer has, by kind."""
    parsed = parse(model)
    tensors = parsed.subgraphs[0].tensors
    return {
        layer.kind: len(scales(tensors[layer.constant]))
        for layer in operators(parsed)
        if layer.constant is not None
    }


def test_a_dense_kernel_has_one_scale_where_that_holds(unbalanced):
    found = search(replace(unbalanced, bound=100.0), max_tries=5)
    assert kernel_scales(found.model) == {"CONV_2D": 6, "FULLY_CONNECTED": 1}
    assert [attempt.dense_scales for attempt in found.attempts] == ["one"]


def test_a_dense_kernel_has_a_scale_a_channel_where_one_does_not_hold(tmp_path):
    """One class would hear a pixel that is always black 3,000 times as loudly as any other."""
    layers = keras.layers
    keras.utils.set_random_seed(3)
    last = layers.Dense(4)
    loud = [layers.Rescaling(1 / 255), layers.Flatten(), last, layers.Softmax()]
    keras.Sequential([keras.Input(float_models.SHAPE), *loud])
    weights, bias = last.get_weights()
    weights[0, 0] = 3000 * abs(weights).max()
    last.set_weights([weights, bias])
    model, prepared = float_models.prepared(tmp_path, *loud)
    images = float_models.images(200)
    images[:, 0, 0] = 0
    labels = model.predict(images, verbose=0).argmax(axis=1)
    observed = ranges.observe(prepared, images)
    subject = Subject(prepared, observed, Recipe(), images, labels, 0.3, lambda m: m)
    found = search(subject, max_tries=2)
    one, channel = found.attempts
    assert (one.dense_scales, channel.dense_scales) == ("one", "channel")
    assert one.drop_points > 20
    assert channel.drop_points < 5
    assert kernel_scales(found.model)["FULLY_CONNECTED"] == 4


def test_4_bit_kernels_keep_a_scale_a_channel(unbalanced):
    found = search(replace(unbalanced, recipe=Recipe("int4"), bound=100.0), max_tries=5)
    assert [attempt.dense_scales for attempt in found.attempts] == [""]
    assert kernel_scales(found.model)["FULLY_CONNECTED"] == 4
