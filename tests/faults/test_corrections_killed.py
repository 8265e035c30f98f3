"""A kill at any moment of saving corrections: mask, touched pixels and record belong together."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tag2mask.data import Classes
from tag2mask.masks.corrections import Corrections, Origin, read_corrections

CLASSES = Classes(("cow", "grass"), "background")
SAVING = """
import sys
from pathlib import Path
import numpy as np
from tag2mask.data import Classes
from tag2mask.masks.corrections import Corrections, Origin
store = Corrections(Path(sys.argv[1]), Origin("masks", "key", Classes(("cow", "grass"), "background")))
print("ready", flush=True)
for count in range(100_000):
    name = f"sub/{count % 3}"
    labels = np.full((64, 64), count % 3)
    labels[0, : count % 64] = 255
    store.save_mask(name, labels, labels == 255, store.etag(name))
"""


@pytest.mark.faults
@pytest.mark.parametrize("trial", range(20))
def test_what_belongs_together_stays_together(tmp_path: Path, trial: int) -> None:
    place = tmp_path / "corrections"
    process = subprocess.Popen([sys.executable, "-c", SAVING, str(place)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(random.Random(trial).uniform(0.01, 0.5))
    process.kill()
    process.wait()
    if not (place / "corrections.json").exists() and not (place / "pending/save.json").exists():
        return  # before the first save
    Corrections(place, Origin("masks", "key", CLASSES))
    found = read_corrections(place, CLASSES)
    store = Corrections(place, Origin("masks", "key", CLASSES))
    for name, row in store.rows.items():
        labels, touched = store.labels(name), store.touched(name)
        assert labels is not None
        np.testing.assert_array_equal(labels == 255, touched)
        assert int((labels == 255).sum()) == row.touched
        assert hashlib.sha256(found.masks[name].content).hexdigest()[:16] == row.mask
    assert not (place / "pending").exists()
