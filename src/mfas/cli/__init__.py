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
RECIPE_COMMANDS = ("pretrain", "crossval", "search", "train", "audit")
WITHOUT_SECTION = ("--name", "--seed", "--objective")  # keys of a recipe that stand in no section
OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError", "TerminatedWorkerError")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; see `mfas --help`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    plain, keys = _part([argument for argument in given if argument != "--debug"])
    options, others = build_parser().parse_known_args(plain)
    try:
        options.overrides = [*keys, *others]
        if options.overrides and not options.takes_overrides:
            unknown = options.overrides[0]
            raise RecipeError(f"{unknown}: unknown option; see mfas {options.command} --help")
        return options.run(options)
    except KeyboardInterrupt:
        resuming = "pretrain, crossval and search take --resume"
        return _fail(f"interrupted; what was finished is kept, {resuming}")
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _part(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the command's own arguments from recipe keys, `--section.key value`, wherever they stand."""
    whole = WITHOUT_SECTION if arguments and arguments[0] in RECIPE_COMMANDS else ()
    plain: list[str] = []
    keys: list[str] = []
    awaits_value = False
    for argument in arguments:
        option = argument.startswith("--")
        name, equals, _ = argument.partition("=")
        is_key = option and ("." in name or name in whole)
        (keys if is_key or (awaits_value and not option) else plain).append(argument)
        awaits_value = is_key and not equals
    return plain, keys


def _explain(error: Exception) -> int:
    """One line for anything that went wrong, and the exit code that goes with it."""
    if isinstance(error, MfasError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        again = "run it again (pretrain, crossval and search: with --resume)"
        return _fail(f"{error.filename or 'disk'}: no space left; free some, then {again}")
    if isinstance(error, OSError) and error.filename:
        fault = (error.strerror or "cannot be used").lower()
        return _fail(f"{error.filename}: {fault}; name another path, or change this one", 2)
    if type(error).__name__ in OUT_OF_MEMORY:
        smaller = "--evaluate.workers 1 (pretrain: a smaller --optimize.batch_seconds)"
        return _fail(f"out of memory; give {smaller} with --resume, or a smaller recipe")
    first_line = (str(error).splitlines() or [""])[0]
    return _fail(f"internal error: {type(error).__name__}: {first_line}; --debug shows where")


def _fail(message: str, code: int = FAILED) -> int:
    print(f"mfas: {' '.join(message.split())}", file=sys.stderr)
    return code
