"""The two ways in which a file can be refused."""


class FormatError(ValueError):
    """The bytes of a file are wrong; the message names path, expected and found."""


class LimitError(ValueError):
    """A file is larger than a stated limit; refused before memory is allocated."""
