"""Write generated code to a file, when it is complete.

WouldLose   the file has code that would be lost
"""

from __future__ import annotations

import ast
import os
import tempfile
from pathlib import Path


class WouldLose(ValueError):
    """The file has classes or functions that the new text does not have."""


def write(path: Path, text: str) -> None:
    """Replace the file at once, so that no reader sees a part. Raises WouldLose and OSError."""
    if path.suffix == ".py" and path.exists():
        _check_kept(path, text)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _check_kept(path: Path, text: str) -> None:
    try:
        present = _definitions(path.read_text("utf-8"))
    except (SyntaxError, ValueError):
        raise WouldLose(
            f"{path} exists and is not Python code. Name another file, or remove it."
        ) from None
    if lost := sorted(present - _definitions(text)):
        raise WouldLose(
            f"{path} has {', '.join(lost)}, which would be lost. Write to another file, or print "
            "the changes of the models alone with --diff."
        )


def _definitions(text: str) -> set[str]:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(text).body if isinstance(node, kinds)}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
