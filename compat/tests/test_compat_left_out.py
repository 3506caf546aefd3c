"""What is not here says so: a module when it is imported, a name when it is used."""

import importlib
import sys

import pytest

from mellea import _left_out
from mellea._left_out import LeftOut, explain_missing_modules


@pytest.mark.parametrize("module", [*_left_out.MODULES, "mellea.backends.adapters.catalog"])
def test_a_module_that_is_left_out_says_why(module: str) -> None:
    explain_missing_modules()
    explain_missing_modules()
    assert sum(type(finder).__name__ == "_Finder" for finder in sys.meta_path) == 1
    with pytest.raises(ModuleNotFoundError, match="is left out") as caught:
        importlib.import_module(module)
    assert caught.value.name in (module, module.rpartition(".")[0])


def test_a_module_that_never_was_is_what_it_always_is() -> None:
    explain_missing_modules()
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        importlib.import_module("mellea.backends.nothing")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("mellea.stdlib.components", "Intrinsic"),
        ("mellea.stdlib.requirements", "ALoraRequirement"),
        ("mellea.stdlib.requirements", "python_plotting_requirements"),
        ("mellea.stdlib.requirements.requirement", "ALoraRequirement"),
        ("mellea.stdlib.sampling", "SamplingPreset"),
        ("mellea.plugins", "hook"),
        ("mellea.plugins.registry", "register"),
    ],
)
def test_a_name_that_is_left_out_can_be_imported_and_says_why_when_used(
    module: str, name: str
) -> None:
    found = getattr(importlib.import_module(module), name)
    assert getattr(importlib.import_module(module), name) is found

    class Derived(found):  # type: ignore[misc, valid-type]  # what programs do with it
        pass

    for use in (found, Derived):
        with pytest.raises(LeftOut, match=rf"{name} is left out: \w+"):
            use("anything")
    assert issubclass(LeftOut, NotImplementedError)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(importlib.import_module(module), "nothing")  # noqa: B009 - a typed module has none


def test_there_is_no_plugin_framework() -> None:
    from mellea.plugins.registry import _HAS_PLUGIN_FRAMEWORK

    assert _HAS_PLUGIN_FRAMEWORK is False
