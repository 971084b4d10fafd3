"""What can go wrong, in the user's words.

Every message is one line that names the thing (file, key), the fault, and the fix. The command line
prints it alone, without a traceback, and ends with `exit_code`.
"""


class MfasError(ValueError):
    """Bad usage or bad input; `exit_code` is what the command line ends with."""

    exit_code = 2


class AudioError(MfasError):
    """A recording that cannot be read, or holds nothing that can be analysed."""


class ManifestError(MfasError):
    """A manifest with missing columns, unknown labels, duplicate rows or missing files."""


class CorpusError(MfasError):
    """A folder that does not have the corpus's layout."""


class RecipeError(MfasError):
    """A recipe with an unknown key, a wrong value or a combination that cannot work."""


class LeakageError(MfasError):
    """Training and test material overlap, and the recipe does not allow an optimistic result."""


class ModelError(MfasError):
    """An encoder or model folder that cannot be loaded, or does not fit the data."""


class RunError(MfasError):
    """A run folder that exists already, is incomplete, or does not hold what it should."""


class FailedError(MfasError):
    """The work was asked for correctly but failed (a check did not hold, the disk is full)."""

    exit_code = 1
