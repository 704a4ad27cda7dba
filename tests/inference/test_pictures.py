from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from export.formats import contract, failures
from export.formats.contract import Contract, ImageInput
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.dataset_json import Preparation
from pipeline.inference import pictures, sheet
from pipeline.inference.pictures import pictures_in, prepare, wanted_input

GREY = ImageInput((28, 28, 1), "grey", "dark")
COLOUR = ImageInput((28, 28, 3), "rgb", "dark")


def predict(*asked, **settings):
    return list(pictures.predict(*asked, **settings))


class BrightestQuarter:
    """Stands for a format: its class is the quarter of the image that is brightest."""

    def __call__(self, images):
        quarters = images.reshape(len(images), 2, 14, 2, 14).mean(axis=(2, 4)).reshape(-1, 4)
        return (quarters / quarters.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def export_folder(tmp_path, monkeypatch):
    folder = tmp_path / "export"
    folder.mkdir()
    promise = contract.FormatContract("model.onnx", "N", None, None)
    monkeypatch.setattr(
        contract,
        "read",
        lambda _: Contract(
            GREY,
            contract.output(["top left", "top right", "bottom left", "bottom right"]),
            {"onnx": promise},
            "m",
            "d",
            {},
        ),
    )
    failures.write({"tflite_int8": "the converter was killed by SIGKILL"}, folder)
    monkeypatch.setattr(pictures, "answer_function", lambda *_: BrightestQuarter())
    return folder


def drawing(size=28):
    """A light square in the top right quarter, on black."""
    pixels = np.zeros((size, size), np.uint8)
    pixels[size // 8 : size // 3, 2 * size // 3 : 7 * size // 8] = 255
    return pixels


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def test_pictures_are_read_in_grey_where_training_images_were(export_folder, tmp_path, monkeypatch):
    known = contract.read(export_folder)
    taken = replace(COLOUR, trained_colour="grey")
    monkeypatch.setattr(contract, "read", lambda _: replace(known, input=taken))
    pixels = np.repeat(drawing()[..., None], 3, axis=2)
    (answer,) = predict([save(tmp_path / "a.png", pixels)], export_folder, "onnx")
    assert answer.label == "top right"  # by what takes one channel, as `opened` also does


def test_a_picture_gets_its_label_and_the_three_likeliest(export_folder, tmp_path):
    file = save(tmp_path / "a.png", drawing())
    (answer,) = predict([file], export_folder, "onnx")
    assert answer.label == "top right"
    assert answer.top[0] == ("top right", answer.probability)
    assert len(answer.top) == 3
    assert answer.polarity == "light on dark"
    assert answer.as_json()["file"] == str(file)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_large_dark_on_light_picture_is_inverted_and_says_so(export_folder, tmp_path, name):
    file = save(tmp_path / name, 255 - drawing(400))
    (answer,) = predict([file], export_folder, "onnx")
    assert (answer.label, answer.polarity) == ("top right", "dark on light, inverted")


def test_polarity_is_obeyed_against_what_the_border_says():
    pixels, read_as = prepare(Image.fromarray(drawing()), GREY, "dark_on_light")
    np.testing.assert_array_equal(pixels[..., 0], 255 - drawing())
    assert read_as == "dark on light, inverted"
    light = Image.fromarray(255 - drawing())
    pixels, read_as = prepare(light, GREY, "light_on_dark")
    np.testing.assert_array_equal(pixels[..., 0], 255 - drawing())
    assert read_as == "light on dark"


def test_a_picture_of_the_right_size_keeps_every_pixel():
    pixels = np.random.default_rng(0).integers(0, 100, (28, 28)).astype(np.uint8)
    np.testing.assert_array_equal(prepare(Image.fromarray(pixels), GREY, "auto")[0][..., 0], pixels)


def test_scaling_down_averages_and_does_not_skip():
    checkered = np.indices((280, 280)).sum(axis=0) % 2 * np.uint8(200)
    pixels, _ = prepare(Image.fromarray(checkered.astype(np.uint8)), GREY, "light_on_dark")
    assert np.abs(pixels[4:-4, 4:-4].astype(int) - 100).max() <= 2


def test_proportions_are_kept_and_the_rest_is_filled_with_the_border():
    wide = np.full((50, 100), 40, np.uint8)
    wide[10:40, 10:90] = 240
    pixels, _ = prepare(Image.fromarray(wide), GREY, "auto")
    assert set(pixels[:7].ravel()) == set(pixels[21:].ravel()) == {40}
    assert pixels[14, 14, 0] == 240


def test_a_sliver_still_has_a_row():
    pixels, _ = prepare(Image.new("L", (3000, 3), 255), GREY, "light_on_dark")
    assert pixels.shape == (28, 28, 1)


@pytest.mark.parametrize(
    ("ink", "background"), [(0, "dark on light, inverted"), (255, "light on dark")]
)
def test_a_transparent_picture_lies_on_what_its_drawing_shows_on(ink, background):
    pixels = np.full((28, 28, 4), ink, np.uint8)
    pixels[..., 3] = drawing()
    prepared, read_as = prepare(Image.fromarray(pixels), GREY, "auto")
    np.testing.assert_array_equal(prepared[..., 0], drawing())
    assert read_as == background


def test_sixteen_bit_grey_is_scaled_and_not_cut_off():
    deep = Image.fromarray(drawing().astype(np.uint16) * 128)
    pixels, _ = prepare(deep, GREY, "auto")
    assert pixels.max() == 255 * 128 // 257


def test_colour_is_kept_for_a_colour_model_and_weighed_for_a_grey_one():
    red = Image.new("RGB", (28, 28), (100, 0, 0))
    assert prepare(red, COLOUR, "auto")[0][0, 0].tolist() == [100, 0, 0]
    assert prepare(red, GREY, "auto")[0][0, 0].tolist() == [30]  # 0.299 of 100


def test_a_photo_is_turned_as_its_camera_says(export_folder, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    file = save(tmp_path / "a.jpg", np.rot90(drawing(280), 2).copy(), exif=exif)
    assert predict([file], export_folder, "onnx")[0].label == "top right"


def test_without_a_common_background_nothing_is_inverted():
    mixed = ImageInput((28, 28, 1), "grey", "mixed")
    light = 255 - drawing()
    pixels, read_as = prepare(Image.fromarray(light), mixed, "auto")
    np.testing.assert_array_equal(pixels[..., 0], light)
    assert read_as == "as it is"


def test_a_polarity_that_means_nothing_to_the_model_is_refused(export_folder, monkeypatch):
    known = contract.read(export_folder)
    mixed = Contract(
        ImageInput((28, 28, 1), "grey", "mixed"), known.output, known.formats, "m", "d", {}
    )
    monkeypatch.setattr(contract, "read", lambda _: mixed)
    with pytest.raises(ConfigError, match="no common background"):
        predict([], export_folder, "onnx", "dark_on_light")


def test_a_folder_is_all_its_pictures_in_order_hidden_ones_left_out(tmp_path):
    for name in ("b/2.PNG", "a.jpg", "b/deep/1.webp", "b/notes.txt", ".x.png", "c.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = pictures_in([tmp_path / "b", tmp_path, tmp_path / "none.png"])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "b/2.PNG", "b/deep/1.webp", "a.jpg", "b/2.PNG", "b/deep/1.webp", "c.tiff", "none.png"
    ]  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no picture"):
        pictures_in([tmp_path / "empty"])


def test_many_pictures_are_asked_about_some_at_a_time(export_folder, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        pictures, "answer_function",
        lambda *_: lambda images: sizes.append(len(images)) or BrightestQuarter()(images),
    )  # fmt: skip
    monkeypatch.setattr(pictures, "PIXELS_A_BATCH", 2 * 28 * 28)
    files = [save(tmp_path / f"{n}.png", drawing()[:: 1 if n % 2 else -1]) for n in range(3)]
    found = [answer.label for answer in predict(files, export_folder, "onnx")]
    assert (sizes, found) == ([2, 1], ["bottom right", "top right", "bottom right"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.gif", "is a GIF; convert it to PNG or JPEG, of several frames the one that counts"),
        ("a.tiff", "is a TIFF; convert it to PNG or JPEG, of several pages the one that counts"),
        ("a.webp", "is animated (2 frames), expected one picture; save one frame"),
        ("a.png", "is animated (2 frames), expected one picture; save one frame"),
    ],
)
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_of_several_frames_or_pages_none_is_taken_unasked(
    export_folder, tmp_path, monkeypatch, name, said, fit
):
    known = contract.read(export_folder)
    if fit == "crop":
        photos = contract.image_input((28, 28, 1), "mixed", "crop", "refuse")
        monkeypatch.setattr(contract, "read", lambda _: replace(known, input=photos))
    frames = [Image.fromarray(np.full((28, 28), level, np.uint8)) for level in (0, 200)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError) as caught:
        predict([tmp_path / name], export_folder, "onnx")
    assert str(caught.value).endswith(f"{name}: {said}")


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_picture_is_named(export_folder, tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png: cannot be read as PNG, JPEG, BMP, WEBP"):
        predict([tmp_path / "bad.png"], export_folder, "onnx")


def test_files_that_are_refused_leave_the_others_their_answers(export_folder, tmp_path):
    first = save(tmp_path / "a.png", drawing())
    second = save(tmp_path / "c.png", drawing()[::-1])
    (tmp_path / "b.png").write_bytes(b"plain text")
    files = [first, tmp_path / "b.png", second, tmp_path / "none.png"]
    refused = []
    answers = predict(files, export_folder, "onnx", refuse=refused.append)
    assert [(answer.file, answer.label) for answer in answers] == [
        (str(first), "top right"),
        (str(second), "bottom right"),
    ]
    assert [str(error).partition(": ")[0] for error in refused] == [str(files[1]), str(files[3])]
    assert predict(files[1:2], export_folder, "onnx", refuse=refused.append) == []


def test_half_a_picture_is_named(export_folder, tmp_path):
    whole = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8))
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"half\.png"):
        predict([tmp_path / "half.png"], export_folder, "onnx")


def test_a_missing_file_is_named(export_folder, tmp_path):
    with pytest.raises(DataError, match=r"none\.png: there is no such file"):
        predict([tmp_path / "none.png"], export_folder, "onnx")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tflite_int8", "killed by SIGKILL"), ("coreml", "did not export it")],
)
def test_a_format_that_is_not_there_is_refused_with_the_reason(export_folder, name, reason):
    with pytest.raises(ConfigError, match=f"--format {name}: .*{reason}.*Available: onnx"):
        predict([], export_folder, name)


@pytest.fixture
def photo_model(export_folder, monkeypatch):
    """A model of photos that were cropped to 28 pixels square."""
    known = contract.read(export_folder)
    wanted = contract.image_input((28, 28, 1), "mixed", "crop", "refuse")
    monkeypatch.setattr(contract, "read", lambda _: replace(known, input=wanted))
    asked = []
    monkeypatch.setattr(
        pictures,
        "answer_function",
        lambda *_: lambda images: asked.append(images) or BrightestQuarter()(images),
    )
    return asked


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_a_photo_is_prepared_as_for_training(photo_model, export_folder, tmp_path, suffix):
    wide = np.random.default_rng(0).integers(0, 256, (28, 40)).astype(np.uint8)
    options = {"lossless": True} if suffix == "webp" else {}
    file = save(tmp_path / f"a.{suffix}", wide, **options)
    (answer,) = predict([file], export_folder, "onnx")
    np.testing.assert_array_equal(photo_model[0][0, :, :, 0], wide[:, 6:34])
    assert answer.polarity == "cropped to 28×28"


@pytest.mark.parametrize(
    ("shape", "fit", "words"),
    [
        ((28, 28), "crop", "as it is"),
        ((56, 56), "crop", "scaled to 28×28"),
        ((28, 40), "letterbox", "with black bars to 28×28"),
        ((20, 40), "stretch", "stretched to 28×28"),
    ],
)
def test_it_is_told_how_a_photo_came_to_its_size(
    photo_model, export_folder, tmp_path, monkeypatch, shape, fit, words
):
    wanted = contract.image_input((28, 28, 1), "mixed", fit, "refuse")
    known = contract.read(export_folder)
    monkeypatch.setattr(contract, "read", lambda _: replace(known, input=wanted))
    file = save(tmp_path / "a.png", np.full(shape, 9, np.uint8))
    assert predict([file], export_folder, "onnx")[0].polarity == words


def test_a_size_is_told_as_width_times_height(monkeypatch):
    wide = ImageInput((20, 30, 1), "grey", "mixed")
    said = prepare(Image.fromarray(np.zeros((50, 50), np.uint8)), wide, "auto")[1]
    assert said == "with its border's colour to 30×20"


def test_what_training_would_have_refused_is_refused(photo_model, export_folder, tmp_path):
    file = save(tmp_path / "a.png", np.zeros((28, 28), np.uint16))
    with pytest.raises(DataError, match=r"a\.png: has 16 bits a channel, expected 8"):
        predict([file], export_folder, "onnx")
    with pytest.raises(DataError, match=r"none\.jpg: there is no such file"):
        predict([tmp_path / "none.jpg"], export_folder, "onnx")


@pytest.mark.parametrize("suffix", ["bmp", "webp"])
def test_other_formats_are_read_too(export_folder, tmp_path, suffix):
    file = save(tmp_path / f"a.{suffix}", drawing())
    assert predict([file], export_folder, "onnx")[0].label == "top right"


def test_a_remedy_is_none_that_only_a_config_has(photo_model, export_folder, tmp_path):
    Image.new("RGBA", (28, 28), (9, 9, 9, 80)).save(tmp_path / "a.png")
    with pytest.raises(DataError) as caught:
        predict([tmp_path / "a.png"], export_folder, "onnx")
    assert str(caught.value).endswith("a.png: has transparent parts; save it without them")


INK = replace(GREY, preparation=Preparation(20, "mass", (28, 28)))


def written(size=(200, 300), corner=(20, 180)):
    """A dark hook on light paper that darkens to the right."""
    pixels = np.full(size, 230.0)
    top, left = corner
    pixels[top : top + 60, left : left + 9] = pixels[top + 51 : top + 60, left : left + 40] = 50
    return (pixels * np.linspace(1, 0.7, size[1])).astype(np.uint8)


def test_ink_is_found_where_the_training_images_were_ink():
    pixels, read_as = prepare(Image.fromarray(written()), INK, "auto")
    assert (pixels.shape, read_as) == ((28, 28, 1), "dark on light")
    rows, columns, _ = np.nonzero(pixels > 128)
    assert rows.max() - rows.min() + 1 == pytest.approx(20, abs=1)
    assert columns.max() - columns.min() + 1 == pytest.approx(20 * 40 / 60, abs=1)
    assert pixels[:, :4].max() < 64


def test_what_is_said_of_a_drawing_is_obeyed():
    image = Image.fromarray(written())
    assert prepare(image, INK, "light_on_dark")[1] == "light on dark"
    assert prepare(image, INK, "dark_on_light")[1] == "dark on light"


def test_behind_ink_what_is_transparent_is_paper():
    alpha = 255 - written()
    image = Image.fromarray(np.dstack([np.zeros_like(alpha)] * 3 + [alpha]))
    assert prepare(image, INK, "auto")[1] == "dark on light"


def contract_with(taken):
    return Contract(taken, contract.output(["a", "b"]), {}, "m", "d", {})


def test_whether_ink_is_looked_for_can_be_said():
    assert wanted_input(contract_with(INK)) == INK
    assert wanted_input(contract_with(INK), "ink") == INK
    assert wanted_input(contract_with(INK), "none") == GREY
    assert wanted_input(contract_with(GREY)) == GREY
    with pytest.raises(ConfigError, match="the training images were not ink on an even ground"):
        wanted_input(contract_with(GREY), "ink")


def test_a_sheet_shows_each_picture_beside_what_the_model_saw(tmp_path):
    files = [save(tmp_path / f"{number}.png", written()) for number in range(7)]
    answers = [pictures.Prediction(str(file), "7", 0.98, (("7", 0.98),), "") for file in files]
    sheet.write(tmp_path / "sheet.png", answers, INK, "auto")
    drawn = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    assert drawn.shape == (2 * 164, 6 * 248)
    assert drawn[9, 9] > 190  # paper, under the frame's corner
    seen = drawn[8:120, 128:240]
    pixels, _ = prepare(Image.fromarray(written()), INK, "auto")
    assert np.array_equal(seen[6::4, 6::4], pixels[1:, 1:, 0])  # within the frame
    assert (drawn[164:, 248:] == 255).all()
    sheet.refuse(tmp_path / "sheet.png")  # may be replaced
    with pytest.raises(ConfigError, match=r"0\.png: is a file of another kind"):
        sheet.refuse(files[0])


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (1, 1)])
def test_a_sheet_shows_slivers_too(tmp_path, size):
    file = save(tmp_path / "sliver.png", np.full(size, 200, np.uint8))
    answer = pictures.Prediction(str(file), "7", 0.98, (("7", 0.98),), "")
    assert sheet.write(tmp_path / "sheet.png", [answer], INK, "auto") == 1


def test_on_a_sheet_paper_lies_behind_what_is_transparent(tmp_path):
    alpha = drawing()
    file = save(tmp_path / "ink.png", np.dstack([np.zeros((28, 28, 3), np.uint8), alpha]))
    answer = pictures.Prediction(str(file), "7", 0.98, (("7", 0.98),), "")
    sheet.write(tmp_path / "sheet.png", [answer], INK, "auto")
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert drawn.convert("L").getpixel((60, 100)) == 255  # no ink there


def test_an_empty_sheet_of_paper_is_said_to_have_no_ink():
    assert prepare(Image.new("L", (90, 120), 240), INK, "auto")[1] == "no ink found"
