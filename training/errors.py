"""What can end a training before its time."""


class TrainingError(Exception):
    """A training that cannot go on; the message says why, and what to do about it."""
