"""What every command does around its work: one message instead of a traceback, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps

from zoo.errors import ZooError


def command(main: Callable[[Sequence[str] | None], int | None]) -> Callable[..., int]:
    """Wrap a `main(argv)`; the exit code is its own, 2 after a mistake, 130 after Ctrl-C."""

    @wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            code = main(argv) or 0
            sys.stdout.flush()
            return code
        except ZooError as error:
            print(*(f"error: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except OSError as error:  # a file that cannot be read or written; a disk that is full
            named = f"{error.filename}: " if error.filename else ""
            print(f"error: {named}{error.strerror or error}", file=sys.stderr)
            return 2

    return run
