"""The command `mfas`: arguments enter, an exit code leaves.

0 done; 1 a failed run or a failed check; 2 wrong usage or bad input, with one line on standard
error. Nothing here imports torch before a command needs it, so help is quick.
"""

import errno
import sys
from collections.abc import Sequence

from mfas.cli.parser import build_parser
from mfas.errors import MfasError, RecipeError

FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; see `mfas --help`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    options, overrides = build_parser().parse_known_args([a for a in given if a != "--debug"])
    try:
        if overrides and not options.takes_overrides:
            raise RecipeError(f"{overrides[0]}: unknown option; see mfas {options.command} --help")
        options.overrides = overrides
        return options.run(options)
    except KeyboardInterrupt:
        return _fail("interrupted; what was finished is kept, crossval and search take --resume")
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    """One line for anything that went wrong, and the exit code that goes with it."""
    if isinstance(error, MfasError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _fail(f"{error.filename or 'disk'}: no space left; free some, then use --resume")
    if isinstance(error, OSError) and error.filename:
        return _fail(f"{error.filename}: {(error.strerror or 'cannot be used').lower()}", 2)
    first_line = (str(error).splitlines() or [""])[0]
    return _fail(f"internal error: {type(error).__name__}: {first_line}; --debug shows where")


def _fail(message: str, code: int = FAILED) -> int:
    print(f"mfas: {' '.join(message.split())}", file=sys.stderr)
    return code
