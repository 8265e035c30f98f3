"""Our own method and the default, and its form for many classes."""

from tag2mask.methods.attended.dynamic import DynamicAttended
from tag2mask.methods.attended.model import Attended
from tag2mask.methods.attended.settings import AttendedSettings, DynamicSettings

__all__ = ["Attended", "AttendedSettings", "DynamicAttended", "DynamicSettings"]
