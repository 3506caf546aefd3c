"""Whether the distribution mellea is installed beside this one.

Both have the import path `mellea`, and pip does not mind: the files of the one that was
installed last lie over those of the other, and what a program imports is a mixture.
"""

import importlib.metadata
import warnings


def warn_of_a_neighbour() -> None:
    """Warn, in the module that imports `mellea`, that there are two distributions of it."""
    try:
        version = importlib.metadata.version("mellea")
    except importlib.metadata.PackageNotFoundError:
        return
    warnings.warn(
        f"mellea {version} is installed beside motet-mellea, and both have the import path "
        "`mellea`: what is imported may be a mixture of them. Uninstall both, then install the "
        "one that you want: pip uninstall mellea motet-mellea",
        RuntimeWarning,
        stacklevel=3,
    )
