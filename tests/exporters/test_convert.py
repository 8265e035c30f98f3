"""Every format over the same awkward masks, each read back by something that does not know how it was written."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

import geotiff as tiles
import tag2mask
from tag2mask.cli import main
from tag2mask.data import Classes
from tag2mask.data.reading import read_image
from tag2mask.errors import DataError, MaskSetError, SettingsError, Tag2MaskError
from tag2mask.exporters import CONVERTERS, Conversion, convert
from tag2mask.exporters.outline import polygons
from tag2mask.masks.write import MaskSetWriter, Painted, mask_path, open_mask_set, write_mask

Labels = NDArray[np.int64]
CRS = "EPSG:32633"
COUNTS = {"background": (3, "background"), "no background": (3, None), "300 classes": (300, "rest")}


def awkward(last: int, ignore: int) -> dict[str, Labels]:
    """Label images that formats stumble over; 0 is background or the first class, ``last`` the last class."""
    generator = np.random.default_rng(0)
    ring = np.zeros((33, 47), np.int64)
    ring[2:30, 3:40], ring[8:20, 8:20], ring[10:15, 10:15], ring[22:26, 30:36], ring[24, 32] = 1, 0, 1, ignore, last
    diagonal = np.zeros((6, 6), np.int64)
    diagonal[[0, 1, 2, 3, 3, 2], [0, 1, 2, 3, 1, 0]] = last
    dot = np.full((5, 9), ignore)
    dot[0, 0] = dot[4, 8] = dot[2, 3] = 1
    return {
        "all_zero": np.zeros((4, 3), np.int64),
        "all_ignore": np.full((33, 47), ignore),
        "all_last": np.full((7, 5), last),
        "one_pixel": np.full((1, 1), last),
        "row": np.array([[0, last, 1, 1, ignore, 1, last]]),
        "column": np.array([[last, 0, ignore, 1, 1]]).T,
        "dot": dot,
        "ring": ring,
        "diagonal": diagonal,
        "train/cow/1": generator.choice([0, 1, 2, last, ignore], (33, 47)),
        "val/cow/1": (generator.random((29, 31)) < 0.7).astype(np.int64),
        "train/cow.v2/1": np.eye(8, dtype=np.int64),
    }


def write_set(path: Path, classes: Classes, images: dict[str, Labels], data: Path) -> Path:
    writer = MaskSetWriter(path, classes, {"data": str(data), "settings": {"split": "val"}})
    for name, labels in images.items():
        writer.add(name, Painted(labels, [], False))
    writer.finish({})
    return path


def write_sources(data: Path, images: dict[str, Labels]) -> None:
    """GeoTIFFs of the masks' sizes, each somewhere else, with CRS but for one."""
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    for number, (name, labels) in enumerate(images.items()):
        path = data / "images" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        profile = {"driver": "GTiff", "height": labels.shape[0], "width": labels.shape[1], "count": 1, "dtype": "uint8"}
        place = {"crs": CRS if number else None, "transform": rasterio.Affine(10, 0, 500000 + number, 0, -10, 4649000)}
        with rasterio.open(path, "w", **profile, **place) as file:
            file.write(np.zeros((1, *labels.shape), np.uint8))


def unlabelled(labels: Labels, classes: Classes) -> Labels:
    """What is left where a format knows tags only: tag indices, and -1 for background and ignore."""
    return np.where(labels == classes.ignore, -1, labels - classes.offset)


def read_coco(out: Path, classes: Classes, images: dict[str, Labels]) -> None:
    pytest.importorskip("pycocotools", reason="the extra coco is not installed")
    from pycocotools.coco import COCO

    coco = COCO(out)
    assert [(c["id"], c["name"]) for c in coco.loadCats(coco.getCatIds())] == list(enumerate(classes.names, 1))
    assert sorted(image["file_name"] for image in coco.imgs.values()) == sorted(f"{name}.jpg" for name in images)
    for image_id, image in coco.imgs.items():
        expected = unlabelled(images[image["file_name"].removesuffix(".jpg")], classes)
        found = np.full((image["height"], image["width"]), -1)
        annotations = coco.loadAnns(coco.getAnnIds(image_id))
        for annotation in annotations:
            inside = coco.annToMask(annotation).astype(bool)
            assert (found[inside] == -1).all()
            found[inside] = annotation["category_id"] - 1
            assert isinstance(annotation["segmentation"]["counts"], str)
            assert annotation["area"] == inside.sum()
            rows, columns = np.nonzero(inside)
            left, top = columns.min(), rows.min()
            assert annotation["bbox"] == [left, top, columns.max() - left + 1, rows.max() - top + 1]
        np.testing.assert_array_equal(found, expected)
        assert len(annotations) == len(np.unique(expected[expected >= 0]))


def even_odd(shares: list[str], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels whose centre lies inside a polygon: a ray to the right crosses it an odd number of times."""
    points = np.array(shares, np.float64).reshape(-1, 2) * shape[::-1]
    inside = np.zeros(shape, bool)
    columns, rows = np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5
    for (x, y), (x_next, y_next) in zip(points, np.roll(points, -1, axis=0), strict=True):
        for row in np.nonzero((y > rows) != (y_next > rows))[0]:
            inside[row] ^= columns < x + (rows[row] - y) / (y_next - y) * (x_next - x)
    return inside


def read_yolo(out: Path, classes: Classes, images: dict[str, Labels]) -> None:
    content = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    assert content["names"] == dict(enumerate(classes.names))
    written = {path.relative_to(out / "labels").with_suffix("").as_posix() for path in out.rglob("*.txt")}
    assert written == set(images)
    for name, labels in images.items():
        found = np.full(labels.shape, -1)
        for line in (out / "labels" / f"{name}.txt").read_text().splitlines():
            tag, *shares = line.split()
            assert len(shares) >= 6
            assert all(0 <= float(share) <= 1 for share in shares)
            inside = even_odd(shares, labels.shape)
            assert (found[inside] == -1).all()
            found[inside] = int(tag)
        np.testing.assert_array_equal(found, unlabelled(labels, classes), err_msg=name)


def read_cvat(out: Path, classes: Classes, images: dict[str, Labels]) -> None:
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        lines = archive.read("labelmap.txt").decode().splitlines()
        assert lines[0] == "# label:color_rgb:parts:actions"
        labels_by_colour = {tuple(map(int, line.split(":")[1].split(","))): line.split(":")[0] for line in lines[1:]}
        assert list(labels_by_colour.values()) == [classes.background or "background", *classes.names]
        assert archive.read("ImageSets/Segmentation/default.txt").decode().splitlines() == sorted(images)
        for name, labels in images.items():
            kinds = [Image.open(archive.open(f"Segmentation{kind}/{name}.png")) for kind in ("Class", "Object")]
            assert [image.mode for image in kinds] == ["RGB", "RGB"]
            colours, objects = (np.asarray(image).reshape(-1, 3) for image in kinds)
            found = [labels_by_colour[tuple(colour)] for colour in colours.tolist()]  # none is undeclared
            tags = unlabelled(labels, classes).ravel().tolist()
            assert found == [classes.background or "background" if tag < 0 else classes.names[tag] for tag in tags]
            pairs = set(zip(tags, map(tuple, objects.tolist()), strict=True))
            assert len({tag for tag, _ in pairs}) == len({colour for _, colour in pairs}) == len(pairs)
            assert all((colour == (0, 0, 0)) == (tag < 0) for tag, colour in pairs)


def read_voc(out: Path, classes: Classes, images: dict[str, Labels]) -> None:
    if classes.ignore == 255:
        read_voc_by_colours(out, classes, images)
    assert (out / "labels.txt").read_text().splitlines() == list(classes.pixel_names)
    assert (out / "ImageSets/Segmentation/val.txt").read_text().splitlines() == sorted(images)
    for name, labels in images.items():
        image = Image.open(out / f"SegmentationClass/{name}.png")
        assert image.mode == "P" if classes.ignore == 255 else image.mode.startswith("I;16")
        np.testing.assert_array_equal(np.asarray(image), labels)


def read_voc_by_colours(out: Path, classes: Classes, images: dict[str, Labels]) -> None:
    """As Datumaro does: it knows colours alone, and refuses one that ``labelmap.txt`` does not have."""
    header, *lines = (out / "labelmap.txt").read_text(encoding="utf-8").splitlines()
    assert header == "# label:color_rgb:parts:actions"
    rows = [line.split(":") for line in lines]
    assert [row[0] for row in rows] == [classes.background or "background", *classes.names, "ignored"]
    by_colour = {tuple(map(int, row[1].split(","))): row[0] for row in rows}
    assert len(by_colour) == len(rows)
    known = dict(enumerate(classes.pixel_names)) | {classes.ignore: "ignored"}
    for name, labels in images.items():
        pixels = np.asarray(Image.open(out / f"SegmentationClass/{name}.png").convert("RGB")).reshape(-1, 3)
        assert [by_colour[tuple(pixel)] for pixel in pixels.tolist()] == [known[i] for i in labels.ravel().tolist()]


def read_png(out: Path, classes: Classes, images: dict[str, Labels]) -> None:
    assert Classes.from_json(json.loads((out / "classes.json").read_text(encoding="utf-8"))) == classes
    for name, labels in images.items():
        image = Image.open(out / f"{name}.png")
        assert image.mode == ("L" if classes.ignore == 255 else "I;16")
        np.testing.assert_array_equal(np.asarray(image), labels)


def read_geotiff(out: Path, classes: Classes, images: dict[str, Labels]) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    for number, (name, labels) in enumerate(images.items()):
        with rasterio.open(out / f"{name}.tif") as file:
            np.testing.assert_array_equal(file.read(1), labels)
            assert (file.count, file.nodata) == (1, classes.ignore)
            assert file.crs == (rasterio.crs.CRS.from_user_input(CRS) if number else None)
            assert file.transform == rasterio.Affine(10, 0, 500000 + number, 0, -10, 4649000)
            if classes.ignore == 255:
                colours = file.colormap(1)
                assert [colours[value][:3] for value in range(256)] == list(map(tuple, classes.palette().tolist()))


def read_npz(out: Path, classes: Classes, images: dict[str, Labels]) -> None:
    for name, labels in images.items():
        with np.load(out / f"{name}.npz", allow_pickle=False) as file:
            np.testing.assert_array_equal(file["labels"], labels)
            assert file["labels"].dtype == (np.uint8 if classes.ignore == 255 else np.uint16)
            assert tuple(file["classes"].tolist()) == classes.pixel_names
            assert file["ignore"] == classes.ignore


READERS: dict[str, Callable[[Path, Classes, dict[str, Labels]], None]] = {
    "coco": read_coco,
    "yolo": read_yolo,
    "cvat": read_cvat,
    "voc": read_voc,
    "png": read_png,
    "geotiff": read_geotiff,
    "npz": read_npz,
}


def require_extra(to: str) -> None:
    if CONVERTERS[to].extra:
        pytest.importorskip(CONVERTERS[to].module, reason=f"the extra {CONVERTERS[to].extra} is not installed")


def converted(mask_set: Path, to: str, out: Path) -> Conversion:
    require_extra(to)
    return convert(mask_set, to, out.with_suffix(CONVERTERS[to].suffix), suffix=".jpg")


@pytest.fixture
def simple(tmp_path: Path) -> Path:
    """A mask set of two images whose GeoTIFFs are at hand where rasterio is."""
    images = {"a": np.array([[0, 1, 255], [2, 2, 0]]), "b/c": np.array([[1]])}
    if importlib.util.find_spec("rasterio"):
        write_sources(tmp_path / "data", images)
    return write_set(tmp_path / "set", Classes(("cat", "dog"), "background"), images, tmp_path / "data")


@pytest.mark.parametrize("kind", COUNTS)
@pytest.mark.parametrize("to", CONVERTERS)
def test_round_trip(to: str, kind: str, tmp_path: Path) -> None:
    count, background = COUNTS[kind]
    classes = Classes(tuple(f"class {number}" for number in range(count)), background)
    images = awkward(len(classes.pixel_names) - 1, classes.ignore)
    mask_set = write_set(tmp_path / "set", classes, images, tmp_path / "data")
    if to == "geotiff":
        write_sources(tmp_path / "data", images)
    if (to, kind) == ("cvat", "300 classes"):
        with pytest.raises(DataError, match="CVAT's masks can have 255 labels, but there are 300; use coco"):
            converted(mask_set, to, tmp_path / "out")
        return
    conversion = converted(mask_set, to, tmp_path / "out")
    assert conversion.images == len(images)
    READERS[to](conversion.path, classes, images)
    ignored = sum(int((labels == classes.ignore).sum()) for labels in images.values())
    assert conversion.counts.get("ignored_pixels_unlabelled", ignored) == ignored
    assert conversion.counts.get("pixels_wrong", 0) == 0
    assert conversion.counts.get("holes_cut_open", 11) > 10
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == [conversion.path.name, "set"]


def test_all_formats_have_a_reader_here() -> None:
    assert set(READERS) == set(CONVERTERS)


def test_a_hole_is_cut_open_and_corners_do_not_connect() -> None:
    inside = np.pad(np.ones((3, 3), bool), 1)
    inside[2, 2] = False
    [points], holes = polygons(inside)
    assert (len(points), holes) == (12, 1)
    pieces, holes = polygons(np.eye(3, dtype=bool))
    assert ([len(points) for points in pieces], holes) == ([4, 4, 4], 0)


def test_file_names_have_the_images_suffix(simple: Path, tmp_path: Path) -> None:
    require_extra("coco")
    (tmp_path / "photos/b").mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(tmp_path / "photos/b/c.JPG", format="JPEG")
    with pytest.raises(
        DataError, match=r"^a: its image was not found.* --images DIR, .* no longer exist.* --suffix \.jpg"
    ):
        convert(simple, "coco", tmp_path / "out.json", tmp_path / "photos")
    with pytest.raises(SettingsError, match=r"--suffix jpg: expected one of \.bmp, \.jpeg"):
        convert(simple, "coco", tmp_path / "out.json", tmp_path / "photos", "jpg")
    assert not (tmp_path / "out.json").exists()
    conversion = convert(simple, "coco", tmp_path / "out.json", tmp_path / "photos", ".png")
    assert conversion.counts["images_not_found"] == 1
    assert file_names(conversion) == ["a.png", "b/c.JPG"]


def file_names(conversion: Conversion) -> list[str]:
    return [image["file_name"] for image in json.loads(conversion.path.read_text())["images"]]


def test_predicted_images_are_found_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_extra("coco")
    places = {"folder/a.bmp": "a", "folder/b.c/d.TIF": "b.c/d", "single/e.Jpg": "e", "here/a.png": None}
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    origin = {"settings": {}, "photographs": [str(tmp_path / place) for place in ("folder", "single/e.Jpg")]}
    writer = MaskSetWriter(tmp_path / "set", Classes(("cat",)), origin)
    for name in filter(None, places.values()):
        writer.add(name, Painted(np.zeros((2, 3), np.int64), [], False))
    writer.finish({})
    monkeypatch.chdir(tmp_path / "here")
    assert file_names(convert(tmp_path / "set", "coco", tmp_path / "1.json")) == ["a.bmp", "b.c/d.TIF", "e.Jpg"]
    (tmp_path / "folder/a.bmp").unlink()
    with pytest.raises(DataError, match=r"^a: its image was not found"):
        convert(tmp_path / "set", "coco", tmp_path / "2.json")


@pytest.mark.parametrize("origin", [{}, {"photographs": "split val of elsewhere"}])
def test_a_mask_set_that_names_no_place_finds_nothing_in_the_current_folder(
    origin: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_extra("coco")
    writer = MaskSetWriter(tmp_path / "set", Classes(("cat",)), {"settings": {}, **origin})
    writer.add("a", Painted(np.zeros((2, 3), np.int64), [], False))
    writer.finish({})
    (tmp_path / "a.png").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^a: its image was not found"):
        convert(tmp_path / "set", "coco", tmp_path / "out.json")


@pytest.mark.parametrize("to", CONVERTERS)
def test_an_empty_folder_may_be_filled_and_nothing_else(to: str, simple: Path, tmp_path: Path) -> None:
    out = (tmp_path / "deep/out").with_suffix(CONVERTERS[to].suffix)
    out.mkdir(parents=True)
    converted(simple, to, out)
    with pytest.raises(MaskSetError, match="exists and is not empty"):
        converted(simple, to, out)
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("to", CONVERTERS)
def test_what_goes_wrong_leaves_nothing(to: str, simple: Path, tmp_path: Path) -> None:
    write_mask(mask_path(simple, "b/c"), np.array([[3]]), Classes(("cat", "dog"), "background"))
    with pytest.raises(MaskSetError, match=r"c\.png: holds the value 3, which is not a class"):
        converted(simple, to, tmp_path / "out")
    assert not [path for path in tmp_path.iterdir() if path.name not in ("set", "data")]


def test_a_negative_label_is_none_of_the_classes(simple: Path, tmp_path: Path) -> None:
    Image.fromarray(np.array([[-1]], np.int32)).save(mask_path(simple, "b/c"), "TIFF")
    with pytest.raises(MaskSetError, match=r"c\.png: holds the value -1, which is not a class"):
        converted(simple, "npz", tmp_path / "out")


@pytest.mark.parametrize("to", CONVERTERS)
def test_a_missing_extra_is_named(to: str, simple: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    out = (tmp_path / "out").with_suffix(CONVERTERS[to].suffix)
    if CONVERTERS[to].extra is None:
        convert(simple, to, out)
        return
    with pytest.raises(SettingsError, match=rf"pip install 'tag2mask\[{CONVERTERS[to].extra}\]'"):
        convert(simple, to, out)
    assert not out.exists()


def test_mask_sets_that_cannot_be_converted(simple: Path, tmp_path: Path) -> None:
    with pytest.raises(MaskSetError, match="is not a mask set"):
        convert(tmp_path / "data", "npz", tmp_path / "out")
    with pytest.raises(SettingsError, match="format 'koko' is unknown; there are coco, yolo"):
        convert(simple, "koko", tmp_path / "out")
    with pytest.raises(SettingsError, match=r"give a name that ends in \.zip"):
        convert(simple, "cvat", tmp_path / "out")
    with pytest.raises(DataError, match="the folder does not exist; give the one that holds the images"):
        convert(simple, "npz", tmp_path / "out", tmp_path / "nowhere")
    manifest = simple / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    with pytest.raises(MaskSetError, match="is not finished"):
        convert(simple, "npz", tmp_path / "out")
    empty = write_set(tmp_path / "empty", open_mask_set(simple).classes, {}, tmp_path)
    with pytest.raises(MaskSetError, match="holds no masks"):
        convert(empty, "npz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_geotiff_wants_sources_of_the_masks_size(simple: Path, tmp_path: Path) -> None:
    require_extra("geotiff")
    assert convert(simple, "geotiff", tmp_path / "out").counts == {"without_crs": 1, "pixels_without_data": 0}
    sources = {"a": np.zeros((2, 3)), "b/c": np.zeros((2, 2))}
    write_sources(tmp_path / "other", sources)
    with pytest.raises(DataError, match=r"c\.tif: is 2 x 2 pixels, but its mask is 1 x 1"):
        convert(simple, "geotiff", tmp_path / "again", tmp_path / "other/images")
    (tmp_path / "other/images/b/c.tif").write_text("no image")
    with pytest.raises(DataError, match=r"c\.tif: cannot be read by rasterio"):
        convert(simple, "geotiff", tmp_path / "again", tmp_path / "other/images")
    (tmp_path / "other/images/b/c.tif").unlink()
    with pytest.raises(DataError, match="b/c: its source image was not found; give the folder with --images"):
        convert(simple, "geotiff", tmp_path / "again", tmp_path / "other/images")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_images_turned_by_exif_have_masks_as_seen_and_no_place(orientation: int, suffix: str, tmp_path: Path) -> None:
    require_extra("geotiff")
    import rasterio

    path = tmp_path / f"data/images/a{suffix}"
    path.parent.mkdir(parents=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (5, 3)).save(path, exif=exif)
    seen = read_image(path, 3).shape[:2]
    labels = np.arange(15).reshape(seen) % 2
    mask_set = write_set(tmp_path / "set", Classes(("cat", "dog")), {"a": labels}, tmp_path / "data")
    assert convert(mask_set, "geotiff", tmp_path / "out").counts == {"without_crs": 1, "pixels_without_data": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "out/a.tif") as file:
            np.testing.assert_array_equal(file.read(1), labels)
            assert (file.crs, file.transform) == (None, rasterio.Affine.identity())
    write_set(tmp_path / "other", Classes(("cat", "dog")), {"a": np.zeros((4, 4), np.int64)}, tmp_path / "data")
    with pytest.raises(DataError, match=rf"images/a\{suffix}: is 5 x 3 pixels, but its mask is 4 x 4"):
        convert(tmp_path / "other", "geotiff", tmp_path / "again")


def test_a_place_that_exif_turns_away_from_is_named(tmp_path: Path) -> None:
    require_extra("geotiff")
    import rasterio

    path = tmp_path / "data/images/a.jpg"
    path.parent.mkdir(parents=True)
    exif = Image.Exif()
    exif[274] = 3
    Image.new("RGB", (5, 3)).save(path, exif=exif)
    path.with_suffix(".jgw").write_text("10\n0\n0\n-10\n500000\n4649000\n")
    mask_set = write_set(tmp_path / "set", Classes(("cat", "dog")), {"a": np.zeros((3, 5), int)}, tmp_path / "data")
    with pytest.raises(DataError, match=r"a\.jpg: has a georeference and an EXIF rotation"):
        convert(mask_set, "geotiff", tmp_path / "out")
    Image.new("RGB", (5, 3)).save(path)
    convert(mask_set, "geotiff", tmp_path / "out")
    with rasterio.open(tmp_path / "out/a.tif") as file:
        assert file.transform.a == 10


def test_arrays_have_no_place(tmp_path: Path) -> None:
    require_extra("geotiff")
    (tmp_path / "data/images").mkdir(parents=True)
    np.save(tmp_path / "data/images/a.npy", np.zeros((3, 5, 2), np.uint8))
    mask_set = write_set(tmp_path / "set", Classes(("cat", "dog")), {"a": np.zeros((3, 5), int)}, tmp_path / "data")
    assert convert(mask_set, "geotiff", tmp_path / "out").counts == {"without_crs": 1, "pixels_without_data": 0}


@pytest.mark.parametrize("crs", [CRS, None])
def test_ground_control_points_are_kept(crs: str | None, tmp_path: Path) -> None:
    require_extra("geotiff")
    import rasterio.control

    places = [(0, 0, 500000, 4649000), (0, 5, 500050, 4649003), (4, 0, 499996, 4648960), (4, 5, 500047, 4648962)]
    points = [rasterio.control.GroundControlPoint(row, col, x, y, 0) for row, col, x, y in places]
    (tmp_path / "data/images").mkdir(parents=True)
    profile = {"gcps": points, "transform": None, "crs": crs or rasterio.crs.CRS()}
    tiles.write_geotiff(tmp_path / "data/images/a.tif", np.zeros((4, 5, 3), np.uint8), **profile)
    mask_set = write_set(tmp_path / "set", Classes(("cat", "dog")), {"a": np.ones((4, 5), int)}, tmp_path / "data")
    conversion = convert(mask_set, "geotiff", tmp_path / "out")
    assert conversion.counts["without_crs"] == int(crs is None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "out/a.tif") as file:
            found, found_crs = file.gcps
    assert [(point.row, point.col, point.x, point.y) for point in found] == places
    assert found_crs == (rasterio.crs.CRS.from_user_input(crs) if crs else None)


def test_gdal_finds_the_names_of_the_classes(tmp_path: Path) -> None:
    require_extra("geotiff")
    import rasterio.shutil

    classes = Classes(("cat & <dog>", "Kühe"), "rest")
    images = {"deep/a": np.array([[0, 1, 2]])}
    write_sources(tmp_path / "data", images)
    mask_set = write_set(tmp_path / "set", classes, images, tmp_path / "data")
    convert(mask_set, "geotiff", tmp_path / "out")
    rasterio.shutil.copy(tmp_path / "out/deep/a.tif", tmp_path / "a.vrt", driver="VRT")
    names = ElementTree.parse(tmp_path / "a.vrt").findall(".//CategoryNames/Category")
    assert tuple(name.text for name in names) == classes.pixel_names
    with rasterio.open(tmp_path / "out/deep/a.tif") as file:
        assert json.loads(file.tags(1)["classes"]) == list(classes.pixel_names)


def test_where_a_source_has_no_data_its_mask_has_none(tmp_path: Path) -> None:
    require_extra("geotiff")
    import rasterio

    pixels = np.full((4, 5, 13), 9, np.uint16)
    pixels[0] = 0
    pixels[3, 3, 2] = 0  # one band of thirteen: the pixel is known
    (tmp_path / "data/images").mkdir(parents=True)
    tiles.write_geotiff(tmp_path / "data/images/a.tif", pixels, nodata=0)
    mask_set = write_set(tmp_path / "set", Classes(("cat", "dog")), {"a": np.ones((4, 5), int)}, tmp_path / "data")
    conversion = convert(mask_set, "geotiff", tmp_path / "out")
    assert conversion.counts == {"without_crs": 0, "pixels_without_data": 5}
    with rasterio.open(tmp_path / "out/a.tif") as file:
        assert (file.read(1) == [[255]] + [[1]] * 3).all()


def test_a_colour_that_is_also_that_of_ignore_is_in_no_labelmap(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(255))
    labels = {"a": np.zeros((1, 1), np.int64)}
    for count, wanted in ((255, 0), (254, 1)):
        mask_set = write_set(tmp_path / f"set {count}", Classes(names[:count]), labels, tmp_path / "data")
        assert convert(mask_set, "voc", tmp_path / f"voc {count}").counts == {"bits": 8, "labelmap": wanted}


@pytest.mark.parametrize("names", [("a:b",), ("#1",), ("background",)])
def test_names_that_a_labelmap_cannot_hold(names: tuple[str], tmp_path: Path) -> None:
    mask_set = write_set(tmp_path / "set", Classes(names), {"a": np.zeros((1, 1))}, tmp_path / "data")
    with pytest.raises(DataError, match=r"cannot be written to labelmap\.txt"):
        convert(mask_set, "cvat", tmp_path / "out.zip")
    assert convert(mask_set, "voc", tmp_path / "voc").counts == {"bits": 8, "labelmap": 0}
    assert not (tmp_path / "voc/labelmap.txt").exists()


def test_command_and_function(
    simple: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(out: str, *more: str) -> str:
        arguments = ["tag2mask", "convert", str(simple), "--to", "yolo", "--out", str(tmp_path / out), *more]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0
        return capsys.readouterr().out

    counts = {"polygons": 3, "holes_cut_open": 0, "pixels_wrong": 0, "ignored_pixels_unlabelled": 1}
    expected = {"converted": str(tmp_path / "j"), "to": "yolo", "images": 2, **counts}
    assert json.loads(call("j", "--json")) == expected
    assert "t: 2 masks as yolo, polygons 3, holes cut open 0, pixels wrong 0, ignored pixels" in call("t")
    assert tag2mask.convert(str(simple), "yolo", str(tmp_path / "f")).counts == counts
    with pytest.raises(Tag2MaskError):
        tag2mask.convert(simple, "yolo", tmp_path / "f")
