"""
The import paths of mellea, served by motet.

A skeleton: it has a version and no other name yet. It will re-export what motet
publishes under the paths that programs written for mellea import, and add implicit
waiting, the documented warnings and the functions typed for asyncio. It knows only
motet's public names and holds no logic that motet could hold.
"""

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
