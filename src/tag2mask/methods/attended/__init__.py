"""Our own method and the default."""

from tag2mask.methods.attended.model import Attended
from tag2mask.methods.attended.settings import AttendedSettings

__all__ = ["Attended", "AttendedSettings"]
