"""Files that somebody made to do harm: none writes or reads outside, calls, hangs, fills the memory or ends a verb.

Every case runs the command line on a tree with one such file. It must end within seconds in an exit code of ours and a
line that names the file, without a traceback, and everything beside ``--out`` must be as it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hostile_pixels import KINDS, line, shaped, sparse, wms, write_sound
from PIL import Image
from trees_huggingface import encoded, write_parquet, write_saved

from command import call
from geotiff import write_geotiff
from tag2mask.data import DataSettings
from tag2mask.data.cache import FORM, SmallCopies, file_sha256, read_record, stamp_of
from tag2mask.data.classes import Classes
from tag2mask.data.folder import open_folder
from tag2mask.masks.write import MaskSetWriter, Painted

SECONDS, MEBIBYTES = 20, 600  # a case takes well under one second and no memory to speak of


@pytest.fixture
def port() -> Iterator[int]:
    """A port where nobody may call."""
    called = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                called.append(address)
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()
    assert not called, "a file made tag2mask call somebody"


@pytest.fixture
def around(tmp_path: Path) -> Path:
    """A folder with a tree for the hostile file and an image outside of it; only ``out`` may change."""
    write_sound(tmp_path / "secret.png")
    (tmp_path / "tree").mkdir()
    return tmp_path


def everything(root: Path) -> dict[str, bytes]:
    """All files but those in ``out``, and how often each is linked."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith("out/"):
            found[name] = path.read_bytes() + str(path.stat().st_nlink).encode()
    return found


class Verb:
    """A call of the command line with all that has to hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], around: Path) -> None:
        self.monkeypatch, self.capfd, self.around = monkeypatch, capfd, around

    def __call__(self, *words: object) -> tuple[int, str]:
        """Exit code, and all that was printed."""
        before, memory, start = everything(self.around), peak(), time.monotonic()
        code = call(self.monkeypatch, *words)
        printed = "".join(self.capfd.readouterr())
        assert time.monotonic() - start < SECONDS
        assert peak() - memory < MEBIBYTES
        assert "Traceback" not in printed
        linked = {name: content for name, content in everything(self.around).items() if name.startswith("secret")}
        assert linked == {name: content for name, content in before.items() if name.startswith("secret")}
        assert everything(self.around).keys() == before.keys(), "a file came to be outside of --out"
        return code, printed


def peak() -> float:
    """The most memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], around: Path) -> Verb:
    return Verb(monkeypatch, capfd, around)


def folder_with(tree: Path, name: str, content: bytes) -> None:
    """Two sound images beside one file."""
    rows = ["image,labels"]
    for index, label in enumerate(("cat", "dog")):
        write_sound(tree / f"images/sound{index}.png", index)
        rows.append(f"sound{index}.png,{label}")
    (tree / "images" / name).write_bytes(content)
    (tree / "labels.csv").write_text("\n".join([*rows, f"{name},cat;dog\n"]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_image_is_named_by_check_and_the_others_count(kind: str, around: Path, port: int, verb: Verb) -> None:
    name, content, says = KINDS[kind]
    mark = around / "mark"
    folder_with(around / "tree", name, content(around / "secret.png", port, mark))
    code, printed = verb("check", around / "tree")
    assert code == 1
    assert says in " ".join(printed.split())
    assert "errors: 1, warnings: 0" in printed
    assert not mark.exists()


def test_a_raster_of_billions_of_pixels_in_kilobytes(around: Path, verb: Verb) -> None:
    folder_with(around / "tree", "x.png", b"")
    (around / "tree/images/x.png").unlink()
    (around / "tree/labels.csv").write_text((around / "tree/labels.csv").read_text().replace("x.png", "x.tif"))
    sparse(around / "tree/images/x.tif")
    assert (around / "tree/images/x.tif").stat().st_size < 10_000
    code, printed = verb("check", around / "tree")
    assert code == 1
    assert "x.tif: is 60000 x 60000 x 3, more than" in " ".join(printed.split())


def test_a_mask_beside_a_tiff_is_no_other_driver_s(around: Path, port: int, verb: Verb) -> None:

    folder_with(around / "tree", "x.tif", b"")
    write_geotiff(around / "tree/images/x.tif", np.zeros((32, 32, 3), np.uint8))
    (around / "tree/images/x.tif.msk").write_bytes(wms(port))
    code, printed = verb("check", around / "tree")
    assert code == 1
    assert "x.tif.msk: cannot be read" in " ".join(printed.split())


def test_predict_goes_on_past_every_hostile_image(student: Path, around: Path, port: int, verb: Verb) -> None:
    write_sound(around / "tree/sound.png")
    (around / "tree/line.png").write_bytes(line())
    for number, (name, content, _) in enumerate(KINDS.values()):
        path = around / f"tree/{number:02d}{Path(name).suffix}"
        path.write_bytes(content(around / "secret.png", port, around / "mark"))
    code, _ = verb("predict", student, around / "tree", "--out", around / "out")
    assert code == 1
    manifest = json.loads((around / "out/manifest.json").read_text())
    assert sorted(manifest["image_tags"]) == ["line", "sound"]
    assert len(manifest["failures"]) == len(KINDS)
    assert all(f"/{name}." in reason for name, reason in manifest["failures"].items())
    assert not (around / "mark").exists()


# Trees whose names lead outside: what is written below ``tree``, the verb, and what it says.
def csv_tree(row: str, header: str = "image,labels,split") -> Callable[[Path], None]:
    def write(tree: Path) -> None:
        write_sound(tree / "a.png", 1)
        (tree / "labels.csv").write_text(f"{header}\n{row.replace('SECRET', str(tree.parent / 'secret.png'))}\n")

    return write


def saved_tree(cell: str) -> Callable[[Path], None]:
    def write(tree: Path) -> None:
        path = cell.replace("SECRET", str(tree.parent / "secret.png"))
        features = {"image": {"_type": "Image"}, "label": {"names": ["cat"], "_type": "ClassLabel"}}
        content = encoded(np.zeros((32, 32, 3), np.uint8), "PNG")
        rows = [
            {"image": {"bytes": content, "path": None}, "label": 0},
            {"image": {"bytes": None, "path": path}, "label": 0},
        ]
        write_parquet(tree / "data/train.parquet", rows, features)

    return write


def outer_split(tree: Path) -> None:
    (tree / "dataset_dict.json").write_text(json.dumps({"splits": ["../other"]}))
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat"], "_type": "ClassLabel"}}
    write_saved(tree.parent / "other", [[]], features)


def outer_file(tree: Path) -> None:
    (tree / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../other.arrow"}], "_split": "train"}))


def labelme_tree(image: str) -> Callable[[Path], None]:
    def write(tree: Path) -> None:
        shape = {"label": "cat", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
        for name, path in (("a", "a.png"), ("b", image.replace("SECRET", str(tree.parent / "secret.png")))):
            page = {"imagePath": path, "imageHeight": 32, "imageWidth": 32, "shapes": [shape], "flags": {}}
            (tree / f"{name}.json").write_text(json.dumps(page))
        write_sound(tree / "a.png", 1)

    return write


def coco_tree(file: str = "b.png", outline: object = None, **row: object) -> Callable[[Path], None]:
    def write(tree: Path) -> None:
        names = ["a.png", file.replace("SECRET", str(tree.parent / "secret.png"))]
        images = [{"id": i, "file_name": name, "height": 32, "width": 32} for i, name in enumerate(names)]
        images[1] |= row
        sound = [[1, 1, 9, 1, 9, 9]]
        notes = [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": drawn, "iscrowd": 0}
            for i, drawn in enumerate((sound, outline or sound))
        ]
        for name in ("a.png", "b.png"):
            write_sound(tree / "images" / name, 1)
        content = {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "cat"}]}
        (tree / "annotations.json").write_text(json.dumps(content))

    return write


def endotect_tree(tree: Path) -> None:
    write_sound(tree / "labeled-images/lower-gi-tract/x/polyps/a.jpg", 1)
    (tree / "labeled-images/image-labels.csv").write_text(
        "Video file,Organ,Finding,Classification\nsecret,Lower GI,../../../..,..\n"
    )


Tree = tuple[str, Callable[[Path], None], str]
OUTSIDE: Mapping[str, Tree] = {
    "csv, a split": ("csv split=split", csv_tree("a.png,cat,../../up"), "'../../up' cannot name a split"),
    "csv, an absolute split": ("csv split=split", csv_tree("a.png,cat,/tmp/up"), "'/tmp/up' cannot name a split"),
    "csv, a hidden split": ("csv split=split", csv_tree("a.png,cat,..."), "'...' cannot name a split"),
    "csv, an image above": ("csv", csv_tree("../secret.png,cat,"), "points outside"),
    "csv, an absolute image": ("csv", csv_tree("SECRET,cat,"), "points outside"),
    "huggingface, a path above": ("huggingface", saved_tree("../../secret.png"), "row 1, column image: the name"),
    "huggingface, an absolute path": ("huggingface", saved_tree("SECRET"), "row 1, column image: the name"),
    "huggingface, a split above": ("huggingface", outer_split, "points outside"),
    "huggingface, a file above": ("huggingface", outer_file, "points outside"),
    "labelme, an image above": ("labelme", labelme_tree("../secret.png"), "b.json, imagePath: the name"),
    "labelme, an absolute image": ("labelme", labelme_tree("SECRET"), "b.json, imagePath: the name"),
    "labelme, backslashes": ("labelme", labelme_tree("..\\secret.png"), "b.json, imagePath: the name"),
    "coco-json, an image above": ("coco-json", coco_tree("../../secret.png"), "points outside"),
    "coco-json, an absolute image": ("coco-json", coco_tree("SECRET"), "points outside"),
    "endotect, a folder above": ("endotect", endotect_tree, "points outside"),
}
COCO = "an outline of image id 1 cannot be drawn"
BOMBS: Mapping[str, Tree] = {
    "polygon to infinity": ("coco-json", coco_tree(outline=[[1, 1, 1e300, 1, 9, 9]]), COCO),
    "polygon past 32 bits": ("coco-json", coco_tree(outline=[[1, 1, 4e9, 1, 9, 9]]), COCO),
    "polygon of 1e400": ("coco-json", coco_tree(outline=[[1, 1, float("inf"), 1, 9, 9]]), "not a finite number"),
    "polygon of nothing": ("coco-json", coco_tree(outline=[[1, 1, float("nan"), 1, 9, 9]]), "not a finite number"),
    "polygon to and fro": ("coco-json", coco_tree(outline=[[0, 0, 280, 280] * 20_000]), "an outline longer than"),
    "runs that are too long": ("coco-json", coco_tree(outline={"size": [32, 32], "counts": [9, 2**31]}), COCO),
    "runs that are negative": ("coco-json", coco_tree(outline={"size": [32, 32], "counts": [1034, -10]}), COCO),
    "compressed runs cut short": ("coco-json", coco_tree(outline={"size": [32, 32], "counts": "oooo"}), "truncated"),
    "compressed runs past the end": ("coco-json", coco_tree(outline={"size": [32, 32], "counts": "0oooo0"}), COCO),
    "an image as large as it says": ("coco-json", coco_tree(height=10**9, width=10**9), "more than 536870912 values"),
}


@pytest.mark.parametrize("kind", [*OUTSIDE, *BOMBS])
def test_a_hostile_tree_stays_inside_and_ends(kind: str, around: Path, verb: Verb) -> None:
    source, write, says = {**OUTSIDE, **BOMBS}[kind]
    name, *settings = source.split()
    write(around / "tree")
    words = [word for setting in settings for word in ("--set", setting)]
    code, printed = verb("prepare", name, "--root", around / "tree", "--out", around / "out", *words)
    assert code in (1, 2)
    assert says in " ".join(printed.split())
    taken = [path for path in (around / "out").rglob("*") if path.is_file()]
    assert not any(path.read_bytes() == (around / "secret.png").read_bytes() for path in taken)
    verb("check", around / "tree", "--source", name, *words)


@pytest.mark.parametrize("split", ["../../up", "/tmp/up", "..", "a/b", "", "x" * 300])
def test_a_mask_set_names_no_path_of_a_conversion(split: str, around: Path, verb: Verb) -> None:
    writer = MaskSetWriter(around / "tree/set", Classes(("cat",)), {"settings": {"split": split}})
    writer.add("a", Painted(np.zeros((4, 4), np.int64), ["cat"], fallback=False))
    writer.finish({})
    code, printed = verb("convert", around / "tree/set", "--to", "voc", "--out", around / "out")
    assert code == 2
    assert "cannot name a split" in printed
    assert not (around / "out").exists()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("npy")])
def test_a_hostile_source_of_a_geotiff_is_named(kind: str, around: Path, port: int, verb: Verb) -> None:
    name, content, _ = KINDS[kind]
    (around / "images").mkdir()
    (around / "images" / name).write_bytes(content(around / "secret.png", port, around / "mark"))
    writer = MaskSetWriter(around / "tree/set", Classes(("cat",)), {"settings": {"split": "train"}})
    writer.add("x", Painted(np.zeros((32, 32), np.int64), ["cat"], fallback=False))
    writer.finish({})
    words = ["convert", around / "tree/set", "--to", "geotiff", "--images", around / "images", "--out", around / "out"]
    code, printed = verb(*words)
    assert code == 2
    assert f"{name}: cannot be read" in " ".join(printed.split())
    assert not (around / "mark").exists()


OWN = {
    "masks above": ("masks: ../..\n", "masks: ../.. points outside"),
    "a table elsewhere": ("labels: /etc/passwd\n", "labels: /etc/passwd points outside"),
    "aliases of aliases": (
        "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)) + "bands: *a39\n",
        "dataset.yaml: is not valid YAML",
    ),
    "a tag of Python's": ("bands: !!python/object/apply:os.system ['touch mark']\n", "dataset.yaml: is not valid YAML"),
}


@pytest.mark.parametrize("kind", OWN)
def test_what_a_data_set_says_of_itself(kind: str, around: Path, verb: Verb) -> None:
    folder_with(around / "tree", "x.png", b"")
    (around / "tree/dataset.yaml").write_text(OWN[kind][0])
    code, printed = verb("check", around / "tree")
    assert code == 2
    assert OWN[kind][1] in printed


def memo_far_away() -> bytes:
    return b"\x80\x02}r" + struct.pack("<I", 2**31 - 1) + b"."


def nested_keys() -> bytes:
    """A tuple of two of the one before, forty times over, as a key: to hash it takes hours."""
    return b"\x80\x02}K\x01q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(40)) + b"K\x01s."


def calling() -> bytes:
    return b"\x80\x02cos\nsystem\nX\x0a\x00\x00\x00touch mark\x85R."


PICKLES = {
    "an index of two billion": memo_far_away,
    "keys in keys": nested_keys,
    "a call": calling,
    "four gigabytes of text": lambda: b"\x80\x02X\xff\xff\xff\xffx.",
    "a recursive list": lambda: pickle.dumps((lambda one: one.append(one) or one)([]), 2),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_hostile_pickle(kind: str, around: Path, verb: Verb) -> None:
    tree = around / "tree"
    for folder in ("JPEGImages", "ImageSets/Segmentation"):
        (tree / folder).mkdir(parents=True)
    (tree / "ImageSets/Segmentation/train.txt").write_text("a\n")
    np.save(tree / "cls_labels.npy", {})  # type: ignore[arg-type]
    head = (tree / "cls_labels.npy").read_bytes().split(b"\n")[0] + b"\n"
    (tree / "cls_labels.npy").write_bytes(head + PICKLES[kind]())
    code, printed = verb("check", tree, "--source", "voc", "--set", "tags=npy")
    assert code == 2
    assert "cls_labels.npy: " in printed


def test_xml_entities_do_not_multiply(around: Path, verb: Verb) -> None:
    tree = around / "tree"
    for folder in ("Annotations", "ImageSets/Segmentation"):
        (tree / folder).mkdir(parents=True)
    write_sound(tree / "JPEGImages/a.jpg", 1)
    (tree / "ImageSets/Segmentation/train.txt").write_text("a\n")
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    named = "<object><name>&e11;</name></object>"
    text = f'<!DOCTYPE a [<!ENTITY e0 "xxxxxxxxxx">{entities}]><annotation>{named}</annotation>'
    (tree / "Annotations/a.xml").write_text(text)
    code, printed = verb("check", tree, "--source", "voc")
    assert code == 1
    assert "a.xml: is not valid XML" in printed


def test_copies_that_came_with_a_data_set_are_not_believed(squares: Path) -> None:
    copies = SmallCopies(squares, 16, 3)
    sample = open_folder(squares, DataSettings()).samples[0]
    image, stamp = file_sha256(sample.image), asdict(stamp_of(sample.image))
    arrays = [npy_of(np.zeros(shape, np.uint8)) for shape in ((9,), (16, 16), (17, 16, 4), (17, 17, 3))]
    arrays.append(npy_of(np.zeros((16, 16, 3), complex)))
    for suffix, content in [(".npy", content) for content in (shaped("(9000, 9000, 3)"), *arrays)] + [
        ("/../../../images/p00.png", arrays[0])
    ]:
        record = {"photograph": image, "stamp": stamp, "bands": 3, "form": FORM, "suffix": suffix}
        record["copy"] = hashlib.sha256(content).hexdigest()
        path = copies.folder / f"{sample.name}.rec"
        path.write_text(json.dumps(record))
        (copies.folder / f"{sample.name}.npy").write_bytes(content)
        assert read_record(path) is not None
        assert copies.read(sample).shape == (16, 16, 3)
        assert copies.read(sample).dtype == np.uint8


def npy_of(pixels: np.ndarray) -> bytes:
    """A sound file of an array."""
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def test_labelme_files_that_say_how_large_they_are(around: Path, verb: Verb) -> None:
    tree = around / "tree"
    labelme_tree("a.png")(tree)
    for name, change in (
        ("b", {"imageHeight": 10**9, "imageWidth": 10**9}),
        ("c", {"shapes": [{"label": "cat", "points": [[0, 0], [1e9, 1e9]], "shape_type": "circle"}]}),
        ("d", {"imageHeight": "9" * 5000}),
    ):
        (tree / f"{name}.json").write_text(json.dumps({**json.loads((tree / "a.json").read_text()), **change}))
    code, printed = verb("prepare", "labelme", "--root", tree, "--out", around / "out")
    assert code == 1
    for name in "bcd":
        assert f"failed: {name}: " in printed
    assert [path.name for path in (around / "out/images").iterdir()] == ["a.png"]
    assert Image.open(around / "out/masks/a.png").size == (32, 32)
