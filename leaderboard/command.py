"""How a stage ends: errors on purpose become one line and exit code 1."""

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from leaderboard.errors import HeldoutError


def _is_of_disk(error: BaseException | None) -> bool:
    """Whether a read or write failed; HDF5 raises a RuntimeError while it closes a file."""
    is_hdf5 = isinstance(error, RuntimeError) and "file write failed" in str(error)
    return is_hdf5 or isinstance(error, OSError)


def _silence_hdf5() -> None:
    """Leave out what HDF5 says of a full disk once more for every object that it closes.

    Cython prints such errors through both hooks. One that matters is caught below.
    """

    def except_hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not _is_of_disk(error):
            sys.__excepthook__(kind, error, trace)

    def unraisable_hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not _is_of_disk(unraisable.exc_value):
            sys.__unraisablehook__(unraisable)

    sys.excepthook, sys.unraisablehook = except_hook, unraisable_hook


def run(main: Callable[..., None], arguments: list[str]) -> None:
    """Call a stage's main function with the command line; print a HeldoutError as one line.

    Anything else that goes wrong is a fault of ours and shows its traceback.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", module="anndata")
    _silence_hdf5()
    try:
        main(*arguments)
    except HeldoutError as error:
        sys.stderr.write(f"ERROR {type(error).__name__}: {error}\n")
        raise SystemExit(1) from None
    except MemoryError as error:
        sys.stderr.write(
            f"ERROR MemoryError: out of memory ({error}). Nothing half written was kept, finished "
            "folds stay in data/work; run again with more memory or a smaller tier.\n"
        )
        raise SystemExit(1) from None
    except (OSError, RuntimeError) as error:
        if not _is_of_disk(error):
            raise
        sys.stderr.write(
            f"ERROR {type(error).__name__}: {' '.join(str(error).split())}. Nothing half written "
            "was kept; free disk space or mend the file, then run again.\n"
        )
        sys.stderr.flush()
        # HDF5 tries to flush the file that could not be written once more at exit, and crashes.
        os._exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Nothing half written was kept; run again to go on.\n")
        raise SystemExit(130) from None
