"""The errors a user can cause. Each message says what is wrong, where, and how to mend it, in one line."""


class Tag2MaskError(Exception):
    """Anything the user can mend; the command line prints it as one line and exits with 2."""


class DataError(Tag2MaskError):
    """Images, tags, masks or lists that cannot be used as they are."""


class SplitMissingError(DataError):
    """A data set has no split of that name."""


class SettingsError(Tag2MaskError):
    """A setting that is unknown, of the wrong kind, or contradicts another."""


class WeightsError(Tag2MaskError):
    """A weights file that cannot be read or does not fit the model."""


class RunError(Tag2MaskError):
    """A run folder that is missing, damaged, or of another making."""


class MaskSetError(Tag2MaskError):
    """A mask set that is missing, damaged, or in the way of a new one."""
