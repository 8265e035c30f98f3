"""What a path opens: a mask set, a run, a segmenter, shards."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tag2mask import predict
from tag2mask.errors import DataError, MaskSetError, RunError, Tag2MaskError
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.painting.make import make_masks
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.viewer.judging import rank_images, signs_of
from tag2mask.viewer.opening import opened_session
from viewing import browser


@pytest.fixture
def learned(student: Path, trained: Path, tmp_path: Path) -> Path:
    """A copy of the segmenter and its data, to be spoiled."""
    shutil.copytree(trained / "squares", tmp_path / "squares")
    shutil.copytree(student, tmp_path / "student")
    config = tmp_path / "student/config.yaml"
    config.write_text(config.read_text().replace(str(trained), str(tmp_path)))
    return tmp_path / "student"


def test_a_run_opens_its_masks(painted: Path) -> None:
    with opened_session(painted.parent, judged=False) as session:
        assert (session.kind, session.masks.origin.mask_set, len(session.items)) == ("run", "masks-train", 8)
        assert session.corrections.path == painted.parent.absolute() / "masks-train-corrections"


def test_a_run_without_masks_paints_when_asked(run: Path, painted: Path) -> None:
    painted.rename(run.parent / "elsewhere")
    with opened_session(run, judged=False) as session:
        stored = open_mask_set(run.parent / "elsewhere")
        assert [item.name for item in session.items] == stored.names()
        assert session.corrections.path.name == "masks-train-corrections"
        client = browser(session)
        for number in range(2):
            assert client.get(f"/api/mask/{number}").status_code == 200
        for item in session.items:
            labels = session.original(item)
            assert labels.shape == item.size
            assert (labels == np.asarray(stored_labels(stored.path, item.name))).mean() > 0.99
        ranked = rank_images(session, [session.items[0].name])
        assert 0 <= ranked[session.items[0].name].rank <= 1
    assert not (run / "masks-train").exists()


def stored_labels(path: Path, name: str) -> np.ndarray:
    from tag2mask.data.reading import read_mask

    return read_mask(path / f"masks/{name}.png")


def test_a_segmenter_paints_its_val_split_once(learned: Path) -> None:
    with opened_session(learned, judged=False) as session:
        assert (session.kind, len(session.items)) == ("segmenter", 4)
        client = browser(session)
        about = client.get("/api/about").json()
        assert (about["has_maps"], about["layers"], about["no_model"]) == (True, 0, "")
        preview = client.post("/api/paint/0", json={})
        assert preview.status_code == 200
        assert client.get("/api/maps/0?layer=0").status_code == 400
    before = (learned / "view-val/manifest.json").stat().st_mtime_ns
    with opened_session(learned, judged=False) as session:
        assert len(session.items) == 4
    assert (learned / "view-val/manifest.json").stat().st_mtime_ns == before


def test_new_images_open_without_a_data_set(learned: Path, tmp_path: Path) -> None:
    predict(learned, tmp_path / "squares/images", tmp_path / "new")
    with opened_session(tmp_path / "new", judged=False) as session:
        assert len(session.items) == 12
        assert browser(session).get("/api/thumb/0").status_code == 200
        assert session.model is not None  # it lies beside the masks


def test_shards_open_like_a_mask_set(run: Path) -> None:
    make_masks(run, out=run / "shards", settings=MaskSettings.parse({"scores": True}), shard="1/1")
    with opened_session(run / "shards", judged=False) as session:
        assert len(session.items) == 8
        assert browser(session).get("/api/maps/0").status_code == 200
        assert session.corrections.path.name == "shards-corrections"


def test_without_the_run_there_are_only_stored_maps(painted: Path, tmp_path: Path) -> None:
    shutil.copytree(painted, tmp_path / "far/away/masks")
    with opened_session(tmp_path / "far/away/masks", judged=False) as session:
        client = browser(session)
        about = client.get("/api/about").json()
        assert (about["has_maps"], about["layers"]) == (True, 0)
        assert "was not found" in about["no_model"]
        assert client.post("/api/paint/0", json={}).status_code == 200
        others = [value for value in (1, 2, 3) if value not in session.items[0].tags]
        for address, body in (
            ("/api/paint/0", {"tags": others}),
            ("/api/spread/0", {"marks": [{"class": 1, "points": [[0, 0]]}]}),
            ("/api/similar/0", {"class": 1}),
        ):
            answer = client.post(address, json=body)
            assert answer.status_code == 400
            assert "not found" in answer.json()["error"]
        assert rank_images(session)


def test_a_spoiled_run_is_said_but_masks_open(painted: Path) -> None:
    config = painted.parent / "config.yaml"
    config.write_text(config.read_text().replace("mean:", "means:"))
    with opened_session(painted, judged=False) as session:
        assert "damaged" in session.no_model
        assert browser(session).get("/api/mask/0").status_code == 200


def test_two_viewers_cannot_share_corrections(painted: Path) -> None:
    with opened_session(painted, judged=False):
        with pytest.raises(RunError, match="open in another viewer"), opened_session(painted, judged=False):
            pass
        with opened_session(painted, corrections=painted.parent / "mine", judged=False) as session:
            assert session.corrections.path.name == "mine"
    assert not (painted.parent / "masks-train-corrections").exists()


def test_other_paths_are_one_line(painted: Path, tmp_path: Path, masks: Path) -> None:
    for path in (tmp_path / "nothing", painted / "masks", tmp_path / "squares"):
        with pytest.raises(Tag2MaskError), opened_session(path):
            pass
    with pytest.raises(DataError, match="--data"), opened_session(painted, data=tmp_path / "moved"):
        pass
    classes = json.loads((masks / "classes.json").read_text())
    (masks / "classes.json").write_text(json.dumps({**classes, "names": ["red", "green", "other"]}))
    with pytest.raises(MaskSetError, match="other classes"), opened_session(painted, compare=masks):
        pass


def test_a_run_with_several_mask_sets_names_them(painted: Path) -> None:
    run = painted.parent
    shutil.copytree(painted, run / "masks-val")
    with opened_session(run, judged=False) as session:
        assert session.masks.origin.mask_set == "masks-train"
    painted.rename(run / "masks-all")
    with (
        pytest.raises(RunError, match=r"2 mask sets: give one of them \(.*masks-all, .*masks-val\)"),
        opened_session(run),
    ):
        pass


def test_the_folder_of_a_whole_run_names_the_run_in_it(run: Path) -> None:
    with pytest.raises(RunError, match=f"did you mean {run}"), opened_session(run.parent):
        pass


def test_the_segmenter_of_a_whole_run_gives_another_opinion(painted: Path, tmp_path: Path) -> None:
    """Only if it learned from these masks."""
    run = painted.parent
    settings = SegmentSettings.parse({"epochs": 1, "batch_size": 4, "precision": "fp32"})
    segment(run, painted, run.parent / "segmenter", settings)
    with opened_session(run, judged=False) as session:
        with_opinion = signs_of(session, session.items[0])
    assert with_opinion.other is not None
    shutil.copytree(painted, run / "masks-copy")
    with opened_session(run / "masks-copy", judged=False) as session:
        without = signs_of(session, session.items[0])
    assert without == replace(with_opinion, other=None, details=without.details)
