"""A ``model.py`` as a module, run once with the files beside it within reach, and the one class in it that predicts."""

from __future__ import annotations

import itertools
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from foretell.errors import ArtifactError, LoadFailed, MissingLibrary
from foretell.runtimes.beside import forget_modules

_TEXT_CHARS = 200
_numbers = itertools.count(1)


class Source:
    """The module of one ``model.py``. ``forget`` takes it, and what it imported from its folder, out of the process."""

    def __init__(self, path: Path) -> None:
        # the path may go through a descriptor that is closed after loading; a model may open files later
        self.path = path.resolve()
        self.folder = self.path.parent
        self._name = f"foretell_model_{next(_numbers)}"

    def run(self) -> type:
        """Runs the file and gives its class. Raises LoadFailed or MissingLibrary; then everything is forgotten."""
        try:
            with self.faults("it"):
                module = self._module()
            return _only_class(module, self.path.name)
        except BaseException:
            self.forget()
            raise

    def _module(self) -> ModuleType:
        code = compile(self.path.read_bytes(), str(self.path), "exec", dont_inherit=True)
        module = ModuleType(self._name)
        module.__file__ = str(self.path)
        sys.modules[self._name] = module
        sys.path.insert(0, str(self.folder))
        # version folders are immutable: no compiled files are left in them
        written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            exec(code, module.__dict__)  # noqa: S102 - this is what serving model.py means; it runs hosted
        finally:
            sys.dont_write_bytecode = written
        return module

    def forget(self) -> None:
        """May be called more than once."""
        sys.modules.pop(self._name, None)
        if str(self.folder) in sys.path:
            sys.path.remove(str(self.folder))
        forget_modules(self.folder)

    @contextmanager
    def faults(self, what: str) -> Iterator[None]:
        """Turns what the author's code raises into one sentence that says where in the file."""
        try:
            yield
        except ArtifactError:
            raise
        except SyntaxError as error:
            raise LoadFailed(f"{self.path.name}, line {error.lineno}: {error.msg}") from error
        except ModuleNotFoundError as error:
            raise MissingLibrary(
                f"{self.path.name} needs the module {error.name!r}, which is not installed where the model runs",
                hint="Install it there, or give the version an environment of its own.",
            ) from error
        except (Exception, SystemExit) as error:
            raise LoadFailed(f"{what} raised {type(error).__name__}{self._place(error)}: {_brief(error)}") from error

    def _place(self, error: BaseException) -> str:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.path)
        ]
        return f" ({self.path.name}, line {lines[-1]})" if lines else ""


def _only_class(module: ModuleType, file: str) -> type:
    """The one public class, defined in the module itself, that has ``predict``. Raises LoadFailed."""
    own = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    found = {item.__name__: item for item in own if callable(getattr(item, "predict", None))}
    public = [item for name, item in found.items() if not name.startswith("_")]
    if len(public) == 1:
        return public[0]
    if public:
        names = ", ".join(sorted(item.__name__ for item in public))
        raise LoadFailed(
            f"{file} has {len(public)} classes with predict: {names}. One file serves one.",
            hint="Give the names of the others a leading underscore, or move them to a module beside it.",
        )
    if own:
        raise LoadFailed(f"the class {own[0].__name__} in {file} has no predict method")
    raise LoadFailed(f"{file} defines no class: it needs one with a predict method")


def _brief(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:_TEXT_CHARS] if lines else "no message"
