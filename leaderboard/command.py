"""How a stage ends: errors on purpose become one line and exit code 1."""

import sys
import warnings
from collections.abc import Callable

from leaderboard.errors import HeldoutError


def run(main: Callable[..., None], arguments: list[str]) -> None:
    """Call a stage's main function with the command line; print a HeldoutError as one line.

    Anything else that goes wrong is a fault of ours and shows its traceback.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        main(*arguments)
    except HeldoutError as error:
        sys.stderr.write(f"ERROR {type(error).__name__}: {error}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Nothing half written was kept; run again to go on.\n")
        raise SystemExit(130) from None
