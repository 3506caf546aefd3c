"""What programs may ask for and this package does not have: one clear error each.

A module that is not here says so when it is imported, and a name of a module that is here
when it is used, so that a program which only mentions one runs. What stands in `MODULES`
and `NAMES` is all there is of it.
"""

import importlib.abc
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final, NoReturn

ADAPTERS: Final = "adapters and intrinsics need weights on this machine, and motet asks servers"
PLUGINS: Final = (
    "motet has no plugins: wrap a backend, a strategy or a session to see and change what passes"
)
PYTHON: Final = (
    "ready-made requirements about Python programs and plots are not part of motet: write a "
    "Requirement with a validation_fn"
)
BACKENDS: Final = (
    "motet talks to Ollama and to servers that speak OpenAI's protocol: use OllamaModelBackend, "
    "or OpenAIBackend with base_url="
)
COMMANDS: Final = "the `m` commands are not part of motet"
AGENTS: Final = "ready-made agents and tools are not part of motet; `tool` makes one of a function"
SERVE: Final = "motet serves no models"

MODULES: Final[Mapping[str, str]] = {
    "mellea.backends.adapters": ADAPTERS,
    "mellea.backends.bedrock": BACKENDS,
    "mellea.backends.huggingface": BACKENDS,
    "mellea.backends.litellm": BACKENDS,
    "mellea.backends.vllm": BACKENDS,
    "mellea.backends.watsonx": BACKENDS,
    "mellea.formatters.granite": ADAPTERS,
    "mellea.stdlib.components.adapter_based_component": ADAPTERS,
    "mellea.stdlib.components.docs.richdocument": (
        "rich documents are not part of motet: pass their text, or an object of your own"
    ),
    "mellea.stdlib.components.intrinsic": ADAPTERS,
    "mellea.stdlib.components.react": AGENTS,
    "mellea.stdlib.components.unit_test_eval": COMMANDS,
    "mellea.stdlib.frameworks": AGENTS,
    "mellea.stdlib.requirements.guardian": ADAPTERS,
    "mellea.stdlib.requirements.plotting": PYTHON,
    "mellea.stdlib.requirements.python_reqs": PYTHON,
    "mellea.stdlib.requirements.python_tools": PYTHON,
    "mellea.stdlib.requirements.rag": ADAPTERS,
    "mellea.stdlib.requirements.safety": ADAPTERS,
    "mellea.stdlib.tools": AGENTS,
    "mellea.telemetry": "motet has no telemetry: `generation` of every reply has its figures",
}
"""Modules that are not here, and why."""


class LeftOut(NotImplementedError):
    """A name was used that this package has only so that it can be imported."""


class _Finder(importlib.abc.MetaPathFinder):
    """Says why a module is not here. It is asked last, when nobody has found the module."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        for name in MODULES:
            if fullname == name or fullname.startswith(f"{name}."):
                raise ModuleNotFoundError(f"{fullname} is left out: {MODULES[name]}", name=fullname)
        return None


def explain_missing_modules() -> None:
    """Make the import of a module that is left out say why. Doing it again changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def stands_in(name: str, module: str, why: str) -> type[Any]:
    """Return a class of that name that can be named and derived from, and not be used.

    Making an object of it, calling a class method of it or calling it as the function that
    it may stand for raises `LeftOut`.
    """

    def refuse(cls: type[Any], *args: Any, **kwargs: Any) -> NoReturn:
        raise LeftOut(f"{module}.{name} is left out: {why}")

    return type(name, (), {"__new__": refuse, "__module__": module, "__doc__": f"Left out: {why}."})


def named(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module that has stand-ins for *names*.

    Args:
        module: the module's name.
        names: why each is left out.
    """
    made: dict[str, type[Any]] = {}

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return made.setdefault(name, stands_in(name, module, names[name]))

    return find
