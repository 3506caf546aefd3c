"""The table of public names is complete, and everything in it exists."""

from pathlib import Path

import pytest

from docs import names


def test_every_public_name_stands_in_the_table_with_a_test_that_exists() -> None:
    assert names.complaints() == []


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (
            "| `Blok` | `motet` | `test_import.py::test_importing_motet_does_not_load` |",
            "no `Blok`",
        ),
        ("| `CBlock` | `motet.nowhere` | `test_import.py::test_x` |", "`motet.nowhere` has no"),
        ("| `CBlock` | `motet` | `test_import.py::test_x` |", "no test test_import.py::test_x"),
        ("| `CBlock` | `motet` | `test_nowhere.py::test_x` |", "no test test_nowhere.py"),
        ("| `CBlock` | `motet` | |", "no test tries CBlock"),
        ("| `CBlock` | `mellea.core` | later |", "`CBlock` of `motet` does not stand"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(
    row: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "names.md"
    page.write_text(f"| name | where | tried by |\n| --- | --- | --- |\n{row}\n")
    monkeypatch.setattr(names, "PAGE", page)
    assert any(complaint in each for each in names.complaints())
