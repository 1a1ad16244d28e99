"""How a training run stops on a fault that the user can understand."""

import errno
import os

_FULL = (errno.ENOSPC, errno.EDQUOT)


class TrainingError(ValueError):
    """A run cannot go on; the message is one line that says why and what to do."""


def disk_full(error: BaseException) -> bool:
    """Whether an error of Python or TensorFlow says that the disk or a quota is full.

    TensorFlow has one type for a full disk and for too little memory; its text holds
    the words of the system.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(os.strerror(code) in str(error) for code in _FULL)
