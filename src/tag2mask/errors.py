"""Errors that a user can cause. Each message says in one line what is wrong, where, and how to fix it."""

from __future__ import annotations

from tag2mask.urls import spell


class Tag2MaskError(Exception):
    """Any error that the user can fix; the command line prints it in one line and exits with code 2."""

    def __str__(self) -> str:
        return spell(super().__str__())


class DataError(Tag2MaskError):
    """Images, tags, masks or split lists cannot be used as they are."""


class SplitMissingError(DataError):
    """The data set has no split of that name."""


class SettingsError(Tag2MaskError):
    """A setting is unknown, of the wrong type, or contradicts another one."""


class WeightsError(Tag2MaskError):
    """A weights file cannot be read or does not fit the model."""


class RunError(Tag2MaskError):
    """A run folder is missing or damaged, or was made by something else."""


class MaskSetError(Tag2MaskError):
    """A mask set is missing or damaged, or something else is where a new one should be written."""


class RemoteError(Tag2MaskError):
    """An object store cannot be reached, refuses, or does not hold what is needed."""
