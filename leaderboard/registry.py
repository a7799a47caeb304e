"""Find plug-ins: a plug-in is a module that holds one frozen record of its own name."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, Protocol, TypeVar

from leaderboard.errors import PluginError, UnknownNameError


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name it is looked up by."""
        ...


P = TypeVar("P", bound=Named)


class Registry(Mapping[str, P], Generic[P]):
    """A read-only mapping from name to plug-in, in name order.

    Modules whose name starts with an underscore are helpers and are skipped. A module is
    imported when its plug-in is first asked for, so that one stage loads one plug-in.
    """

    def __init__(self, package: str, kind: type[P]) -> None:
        self._package = package
        self._kind = kind
        self._loaded: dict[str, P] = {}

    @cached_property
    def _names(self) -> list[str]:
        path = import_module(self._package).__path__
        return sorted(m.name for m in iter_modules(path) if not m.name.startswith("_"))

    def __getitem__(self, name: str) -> P:
        if name not in self._names:
            near = get_close_matches(name, self._names) or self._names
            raise UnknownNameError(
                f"No {self._kind.__name__.lower()} is named {name!r}. Nearest: {', '.join(near)}."
            )
        if name not in self._loaded:
            self._loaded[name] = _only_plugin(f"{self._package}.{name}", self._kind)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _only_plugin(module_name: str, kind: type[P]) -> P:
    stem = module_name.rpartition(".")[2]
    found = [v for v in vars(import_module(module_name)).values() if isinstance(v, kind)]
    if [p.name for p in found] != [stem]:
        raise PluginError(
            f"{module_name} must hold one {kind.__name__} named {stem!r}, "
            f"but holds {[p.name for p in found]}."
        )
    return found[0]
