"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import tag2mask

MODULES = [
    module.name for module in pkgutil.walk_packages(tag2mask.__path__, "tag2mask.") if "__main__" not in module.name
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_the_public_functions_have_examples() -> None:
    finder = doctest.DocTestFinder()
    for name in (
        "refine.dense_crf.crf",
        "refine.pixel_adaptive.pamr",
        "masks.paint.paint",
        "evaluation.iou.iou",
        "evaluation.confusion.confusion",
    ):
        module = importlib.import_module(f"tag2mask.{name.rpartition('.')[0]}")
        [found] = [test for test in finder.find(module) if test.name == f"tag2mask.{name}"]
        assert found.examples
