"""Errors that a user can mend: one clear message each, never a traceback."""

import errno
import lzma
import zipfile
import zlib

UNPACKING = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)  # what a damaged archive of zipfile's raises, beside OSError
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space left, or none for this user, or for so large a file


class UserError(Exception):
    """What is wrong, what was found, and how to mend it, in one message.

    Stages print the message to standard error and exit with status 1.
    """


class ParamsError(UserError):
    """`params.yaml` (or a preset) does not say something that can be run."""


class DataError(UserError):
    """Images, labels or archives are missing, damaged or contradict the parameters."""


class DownloadError(DataError):
    """A file could not be fetched, or what came is not the file that was asked for."""


class EmptyClassError(UserError):
    """A class has no pseudo-label above the threshold."""


class DivergenceError(UserError):
    """A training's loss became NaN or infinite."""
