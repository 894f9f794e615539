"""The error for users of the workflow."""


class InputError(ValueError):
    """A bad input: its text is one plain sentence that names the file or value and what to do."""
