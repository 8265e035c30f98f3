from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.check.folder import check
from tag2mask.data.check.names import check_names
from tag2mask.data.folder import files_below, find_images, images_folder, require_outside
from tag2mask.errors import DataError, SplitMissingError, Tag2MaskError

PLAIN = DataSettings()


def test_a_split_in_the_lists_order_with_tags_and_truth(squares: Path) -> None:
    dataset = open_dataset(squares, PLAIN, "train")
    assert dataset.classes.names == ("red", "green", "blue")
    assert [sample.name for sample in dataset] == [f"p{i:02d}" for i in range(8)]
    assert dataset[0].image == squares / "images/p00.png"
    assert dataset[0].truth == squares / "masks/p00.png"
    assert len(dataset[0].tags) == 2
    assert len(open_dataset(squares, PLAIN, None)) == len(open_dataset(squares, PLAIN, "all")) == 12


def test_background_is_no_tag_and_moves_pixel_values(make_squares: Callable[..., Path]) -> None:
    classes = open_dataset(make_squares(background=True), PLAIN, "train").classes
    assert (classes.names, classes.background, classes.offset) == (("red", "green", "blue"), "background", 1)
    assert classes.pixel_names == ("background", "red", "green", "blue")


def test_an_empty_tag_list_is_a_negative_and_no_row_is_unknown(squares: Path) -> None:
    lines = (squares / "labels.csv").read_text().splitlines()
    (squares / "labels.csv").write_text("\n".join([lines[0], "p00.png,", *lines[3:]]) + "\n")
    dataset = open_dataset(squares, PLAIN, "train")
    assert dataset[0].tags == ()
    assert dataset[1].tags is None


def test_a_column_a_class(squares: Path) -> None:
    (squares / "labels.csv").write_text("image,red,green,blue\np00.png,1,0,1\np01.png,0,0,0\n")
    dataset = open_dataset(squares, PLAIN, "train")
    assert (dataset[0].tags, dataset[1].tags, dataset[2].tags) == ((0, 2), (), None)


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/b.png", "dog/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    dataset = open_dataset(tmp_path, PLAIN, "all")
    assert dataset.classes.names == ("cat", "dog")
    assert [(sample.name, sample.tags) for sample in dataset] == [("cat/a", (0,)), ("cat/b", (0,)), ("dog/a", (1,))]


def test_no_out_folder_among_the_images(squares: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(squares / "images")
    for out in (squares / "images", squares / "images/deep/out", tmp_path / "link/out", squares / "x/../images/out"):
        with pytest.raises(
            DataError, match=r"out .* is inside .*images, where files are read as images; choose a folder outs"
        ):
            require_outside(out, images_folder(squares))
    for out in (squares / "out", squares / "images-out", tmp_path):
        require_outside(out, images_folder(squares))
    shutil.rmtree(squares / "images")
    require_outside(squares / "out", images_folder(squares))
    save_images(tmp_path / "classes", "cat/a.png")
    with pytest.raises(DataError, match=r"out .*classes/run is inside .*classes, where"):
        require_outside(tmp_path / "classes/run", images_folder(tmp_path / "classes"))


def save_images(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)


def test_hidden_folders_are_not_read(tmp_path: Path) -> None:
    save_images(tmp_path, "cat/a.png", "dog/a.png", "cat/.ipynb_checkpoints/b.png", ".cache/448/cat/1.png")
    assert [sample.name for sample in open_dataset(tmp_path, PLAIN, "all")] == ["cat/a", "dog/a"]
    assert sorted(find_images(tmp_path)) == ["cat/a", "dog/a"]
    assert sorted(files_below(tmp_path)) == ["cat/a.png", "dog/a.png"]


def test_a_name_that_ends_like_an_image_is_found_in_lists(tmp_path: Path) -> None:
    save_images(tmp_path, "images/a.tif.png", "images/b.png")
    (tmp_path / "labels.csv").write_text("image,labels\na.tif.png,cat\nb.png,cat\n")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/train.txt").write_text("a.tif\nb.png\n")
    assert [sample.name for sample in open_dataset(tmp_path, PLAIN, "train")] == ["a.tif", "b"]
    for look in (check, check_names):
        report = look(tmp_path, PLAIN)
        assert (report.fatal, report.splits) == (False, {"train": 2})


def test_class_folders_of_all_splits_share_their_classes(tmp_path: Path) -> None:
    save_images(tmp_path, "train/cat/a.png", "train/dog/a.png", "val/dog/a.png", "masks/val/dog/a.png")
    val = open_dataset(tmp_path, PLAIN, "val")
    assert val.classes.names == ("cat", "dog")
    assert [(sample.name, sample.tags) for sample in val] == [("val/dog/a", (1,))]
    assert val[0].truth == tmp_path / "masks/val/dog/a.png"
    assert len(open_dataset(tmp_path, PLAIN, None)) == 3
    with pytest.raises(SplitMissingError, match="the split does not exist; there are train, val"):
        open_dataset(tmp_path, PLAIN, "test")


def test_class_folders_with_lists_masks_and_a_class_called_train(tmp_path: Path) -> None:
    save_images(tmp_path, "train/a.png", "bus/a.png", "masks/bus/a.png")
    assert open_dataset(tmp_path, PLAIN, "train").classes.names == ("bus", "train")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/train.txt").write_text("bus/a.png\n")
    (tmp_path / "classes.txt").write_text("background\ntrain\nbus\n")
    dataset = open_dataset(tmp_path, PLAIN, "train")
    assert dataset.classes.pixel_names == ("background", "train", "bus")
    assert [(sample.name, sample.tags, sample.truth) for sample in dataset] == [
        ("bus/a", (1,), tmp_path / "masks/bus/a.png")
    ]
    (tmp_path / "classes.txt").write_text("train\nbuss\n")
    with pytest.raises(DataError, match="bus: tag 'bus' is not a class; did you mean buss"):
        open_dataset(tmp_path, PLAIN, "train")


def test_columns_name_the_classes_where_there_is_no_list(squares: Path) -> None:
    (squares / "classes.txt").unlink()
    (squares / "labels.csv").write_text("image,red,green,blue\np00.png,1,0,0\n")
    assert open_dataset(squares, PLAIN, "train").classes.names == ("red", "green", "blue")


def test_lists_from_other_editors(squares: Path) -> None:
    (squares / "classes.txt").write_bytes(b"\xef\xbb\xbfred\r\ngreen\r\nblue\r\n")
    (squares / "splits/val.txt").write_bytes(b"\xef\xbb\xbfp08.png\r\n")
    assert [sample.name for sample in open_dataset(squares, PLAIN, "val")] == ["p08"]
    (squares / "classes.txt").write_bytes(b"red\ngr\xe9en\n")
    with pytest.raises(DataError, match=r"classes\.txt, line 2: is not UTF-8"):
        open_dataset(squares, PLAIN, "val")


def test_other_names_for_the_files(squares: Path) -> None:
    (squares / "labels.csv").rename(squares / "mine.csv")
    (squares / "masks").rename(squares / "truth")
    dataset = open_dataset(squares, DataSettings(labels="mine.csv", masks="truth"), "val")
    assert dataset[0].truth == squares / "truth/p08.png"


def test_a_list_of_classes_that_cannot_be_used(squares: Path) -> None:
    with pytest.raises(DataError, match=r"mine\.txt: the list of classes is missing; write"):
        open_dataset(squares, DataSettings(classes="mine.txt"), "val")
    (squares / "classes.txt").write_text("red;green\nblue\n")
    with pytest.raises(DataError, match="red;green contains a ;, which separates tags"):
        open_dataset(squares, PLAIN, "val")


BAD_TABLES = {
    "": "is empty",
    "image,labels\n": "has no rows",
    "file,tags\np00.png,red\n": "line 1: the header is 'file,tags'",
    "image,labels\np00.png,rad\n": "line 2: tag 'rad' is not a class; did you mean red",
    "image,labels\np00.png,red\np00.png,blue\n": "line 3: p00.png is already on line 2",
    "image,labels\nnone.png,red\n": "line 2: none.png is not in",
    "image,labels\np00.png,red,blue\n": "line 2: 3 fields, but the header has 2",
    "image,labels\np00.png,red\np00,blue\n": "line 3: p00 is already on line 2",
    "image,red,violet\np00.png,1,0\n": "line 1: tag 'violet' is not a class",
    "image,red\np00.png,yes\n": "line 2, column red: 'yes' is neither 0 nor 1",
}


@pytest.mark.parametrize("content", BAD_TABLES)
def test_bad_tables_are_one_line_that_says_where(squares: Path, content: str) -> None:
    (squares / "labels.csv").write_text(content)
    with pytest.raises(DataError) as error:
        open_dataset(squares, PLAIN, "train")
    assert str(squares / "labels.csv") in str(error.value)
    assert BAD_TABLES[content] in str(error.value)
    assert "\n" not in str(error.value)


def test_lists_that_cannot_be_used(squares: Path) -> None:
    with pytest.raises(SplitMissingError, match="the split does not exist; there are train, val"):
        open_dataset(squares, PLAIN, "test")
    (squares / "splits/val.txt").write_text("p00\nnone\n")
    with pytest.raises(DataError, match=r"val\.txt, line 2: none is not in"):
        open_dataset(squares, PLAIN, "val")
    (squares / "splits/val.txt").write_text("")
    with pytest.raises(DataError, match=r"val\.txt: is empty"):
        open_dataset(squares, PLAIN, "val")


def test_a_missing_root_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Tag2MaskError, match="the folder does not exist"):
        open_dataset(tmp_path / "none", PLAIN, "train")
    with pytest.raises(DataError, match=r"put the images in images/ and their tags in labels\.csv, or one folder"):
        open_dataset(tmp_path, PLAIN, "train")


@pytest.mark.real
def test_the_shared_images(shared_data: Path) -> None:
    train = open_dataset(shared_data, PLAIN, "train")
    assert (len(train), len(train.classes), train.classes.background) == (354, 21, None)
    assert all(sample.tags is None and sample.truth is None for sample in open_dataset(shared_data, PLAIN, "test"))
    things = DataSettings(labels="labels_things.csv", classes="classes_things.txt", masks="masks_things")
    assert open_dataset(shared_data, things, "val").classes.background == "background"
