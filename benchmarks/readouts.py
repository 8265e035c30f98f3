"""Ways to read class maps from a trained run: layers, their mean or product, isolated class tokens, image size.

    python benchmarks/readouts.py RUN... --out DIR [--split train] [--every N]

RUN is a run of attended whose data set has truth. Each way paints every N-th image of the split with given tags and
without refiners; truth is only used for scoring. Cells and resuming are as in ``refiners.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from refiners import add_arguments, fill_in
from tag2mask.training.run import open_run

LAYERS = (12, 11, 10, 9, 8)
READOUTS: dict[str, dict[str, Any]] = {
    "last 3, mean (default)": {},
    "last 3, product": {"method": {"over_layers": "product"}},
    "last 6, mean": {"method": {"map_layers": 6}},
    "last 6, product": {"method": {"map_layers": 6, "over_layers": "product"}},
    **{f"layer {layer} alone": {"method": {"map_layers": [layer]}} for layer in LAYERS},
    "cut in the last 1": {"method": {"cut": 1}},
    "cut in the last 3": {"method": {"cut": 3}},
    "side own": {"look": {"side": "own"}},
    "side 448": {"look": {"side": 448}},
    "scales 1, 1.5": {"look": {"scales": [1.0, 1.5]}},
    "mirrored too": {"look": {"flip": True}},
}


def main() -> None:
    """Compute the missing cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "RUN")
    arguments = parser.parse_args()
    fill_in({path: (open_run(Path(path)), READOUTS) for path in arguments.runs}, list(READOUTS), arguments)


if __name__ == "__main__":
    main()
