from pipeline.data import file_names


def test_names_come_back_as_they_were_by_split(tmp_path):
    names = {"train": ["a, b.png", '"q".png'], "test": ["'caf\\udce9\\n.png'", "ü.png", "c.png"]}
    file_names.write(tmp_path, names)
    assert file_names.read(tmp_path, "train") == tuple(names["train"])
    assert file_names.read(tmp_path, "test") == tuple(names["test"])
    assert file_names.read(tmp_path, "validation") is None


def test_where_no_image_is_from_a_file_there_is_no_list(tmp_path):
    file_names.write(tmp_path, {})
    assert list(tmp_path.iterdir()) == []
    assert file_names.read(tmp_path, "test") is None
