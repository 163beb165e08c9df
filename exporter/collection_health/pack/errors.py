"""The one exception of this package."""


class PackError(Exception):
    """Generation is impossible; the message names the file, the knob and what is allowed."""
