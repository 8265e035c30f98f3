"""Images and their tags in the ``folder`` form; ``prepare`` converts other layouts, the ``sources``, to it."""

from __future__ import annotations

from tag2mask.data.classes import Classes
from tag2mask.data.folder import open_folder as open_dataset
from tag2mask.data.sample import Dataset, Sample
from tag2mask.data.settings import DataSettings

__all__ = ["Classes", "DataSettings", "Dataset", "Sample", "open_dataset"]
