"""The command line: arguments, messages about them, exit codes."""

import subprocess
import sys

import pytest

import motet
from motet.cli import main


def usage_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what is said about arguments that are refused, before anything is started."""
    with pytest.raises(SystemExit) as caught:
        main(["demo", *arguments])
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    return err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"motet {motet.__version__} ")


def test_without_a_command_the_help_is_shown_as_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "demo" in err


def test_the_help_names_every_option_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for option in [
        "--input",
        "--format",
        "--column",
        "--limit",
        "--backend",
        "--model",
        "--base-url",
        "--ttft",
        "--tps",
        "--loop",
        "--concurrency",
        "--json",
    ]:
        assert f"  {option}" in out
    assert "130 interrupted" in out
    assert max(map(len, out.splitlines())) <= 88


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--format", "csv"], "--format says how to read --input FILE, and there is none"),
        (["--column", "text"], "--column says how to read --input FILE, and there is none"),
        (["--base-url", "http://localhost"], "add --backend ollama"),
        (["--backend", "ollama", "--ttft", "1"], "--ttft is the pace of simulated replies"),
        (["--backend", "ollama", "--tps", "1"], "--tps is the pace of simulated replies"),
        (["--backend", "ollama", "--base-url", "http://["], "base_url is not an address"),
        (["--limit", "0"], "'0' is no whole number from 1"),
        (["--limit", "²"], "'²' is no whole number from 1"),
        (["--concurrency", "-1"], "'-1' is no whole number from 1"),
        (["--ttft", "-0.1"], "'-0.1' is no number of seconds from 0"),
        (["--ttft", "inf"], "'inf' is no number of seconds from 0"),
        (["--tps", "0"], "'0' is no number above 0"),
        (["--tps", "fast"], "'fast' is no number above 0"),
        (["--loop", "curio"], "invalid choice: 'curio'"),
        (["--json=yes"], "ignored explicit argument"),
        (["--lim", "3"], "motet demo: error: unrecognized arguments: --lim 3"),
        (["--input", "no-such-file.csv"], "cannot read no-such-file.csv: No such file"),
        (["reviews.csv"], "unrecognized arguments: reviews.csv"),
    ],
)
def test_wrong_usage_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    assert why in usage_error(capsys, *arguments)


def test_a_loop_that_is_not_installed_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)  # an import of it fails
    assert "pip install 'motet[uvloop]'" in usage_error(capsys, "--loop", "uvloop")


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "motet", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("motet ")


def test_help_loads_neither_models_nor_loops() -> None:
    program = (
        "import sys; from motet.cli import main\n"
        "try: main(['demo', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'trio', 'httpx2', 'pydantic', 'jinja2', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
