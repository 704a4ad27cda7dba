import numpy as np
import tensorflow as tf

from export.formats.format import size_bytes


def test_it_stands_as_serving_wants_it(exported):
    folder = exported.path("saved_model")
    assert [path.name for path in folder.iterdir()] == ["1"]
    assert (folder / "1" / "saved_model.pb").is_file()


def test_its_one_signature_takes_any_batch_and_answers_as_keras(exported):
    loaded = tf.saved_model.load(exported.path("saved_model") / "1")
    assert list(loaded.signatures) == ["serving_default"]
    serve = loaded.signatures["serving_default"]
    for batch in (1, 7):
        images = exported.images[:batch]
        answers = serve(image=tf.constant(images, tf.float32))
        assert list(answers) == ["probabilities"]
        np.testing.assert_allclose(
            answers["probabilities"], exported.model.predict(images, verbose=0), atol=1e-6
        )


def test_each_weight_is_stored_once(exported):
    variables = exported.path("saved_model") / "1" / "variables"
    weights = 4 * exported.model.count_params()
    assert weights < size_bytes(variables) < 1.5 * weights + 4000
