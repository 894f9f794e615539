"""The one kind of error that a user of the workflow is meant to read."""


class InputError(ValueError):
    """A bad input: its text is one plain sentence that names the file or value and what to do."""
