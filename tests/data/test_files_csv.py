from pipeline.data import files_csv


def test_names_come_back_as_they_were_by_split(tmp_path):
    names = {"train": ["a, b.png", '"q".png'], "test": ["'caf\\udce9\\n.png'", "ü.png", "c.png"]}
    files_csv.write(tmp_path, names)
    assert files_csv.read(tmp_path, "train") == tuple(names["train"])
    assert files_csv.read(tmp_path, "test") == tuple(names["test"])
    assert files_csv.read(tmp_path, "validation") is None


def test_where_no_image_is_from_a_file_there_is_no_list(tmp_path):
    files_csv.write(tmp_path, {})
    assert list(tmp_path.iterdir()) == []
    assert files_csv.read(tmp_path, "test") is None
