"""Content blocks: the leaves of what is said to a model."""

import base64
import binascii
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from PIL.Image import Image

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


class CBlock:
    """A block of text.

    Args:
        value: the text; None for a block that is yet to be filled.
        meta: anything the program wants to keep with it.
        cache: whether a backend that can should cache the prompt up to this block.

    Raises:
        TypeError: *value* is neither a string nor None.
    """

    def __init__(
        self, value: str | None, meta: dict[str, Any] | None = None, *, cache: bool = False
    ) -> None:
        self.value = value
        self.meta: dict[str, Any] = {} if meta is None else meta
        self.cache = cache

    @property
    def value(self) -> str | None:
        """The text."""
        return self._value

    @value.setter
    def value(self, value: str | None) -> None:
        if value is not None and not isinstance(value, str):
            raise TypeError(
                f"the value of a {type(self).__name__} should be a string or None, "
                f"not {type(value).__name__}"
            )
        self._value = value

    def __str__(self) -> str:
        return self._value or ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._value}, {self.meta!r})"


class InvalidImage(ValueError, AssertionError):
    """What was given as an image is none.

    It is an `AssertionError` as well, because programs written for mellea expect one.
    """


class ImageBlock(CBlock):
    """A PNG image as base64 text.

    Args:
        value: base64; a data URI prefix is allowed, padding may be missing.
        meta: anything the program wants to keep with it.

    Raises:
        InvalidImage: *value* is not the base64 of a PNG.
    """

    def __init__(self, value: str, meta: dict[str, Any] | None = None) -> None:
        if not self.is_valid_base64_png(value):
            raise InvalidImage(
                "the value of an ImageBlock should be a PNG as base64 text; "
                "make one from a picture with ImageBlock.from_pil_image(image)"
            )
        super().__init__(value, meta)

    @property
    def base64(self) -> str:
        """The base64 text without a data URI prefix."""
        return _without_prefix(self._value or "")

    @staticmethod
    def is_valid_base64_png(s: str) -> bool:
        """Tell whether *s* is the base64 of something that begins as a PNG does."""
        if not isinstance(s, str):
            return False
        text = _without_prefix(s)
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            return False
        return data.startswith(_PNG_SIGNATURE)

    @staticmethod
    def pil_to_base64(image: "Image") -> str:
        """Return a Pillow image as base64 of a PNG."""
        buffer = BytesIO()
        image.save(buffer, "PNG")
        return base64.b64encode(buffer.getvalue()).decode("ascii")

    @classmethod
    def from_pil_image(cls, image: "Image", meta: dict[str, Any] | None = None) -> Self:
        """Return a block with a Pillow image."""
        return cls(cls.pil_to_base64(image), meta)

    def __repr__(self) -> str:
        return f"ImageBlock({(self._value or '')[:20]}..., {self.meta!r})"


class ImageUrlBlock(CBlock):
    """An image that the model server fetches itself.

    Raises:
        ValueError: *value* is not an http or https URL.
    """

    def __init__(self, value: str, meta: dict[str, Any] | None = None) -> None:
        if not isinstance(value, str) or not value.startswith(("http://", "https://")):
            raise ValueError(
                f"an ImageUrlBlock requires an http:// or https:// URL, not {value!r}; "
                "for the picture itself use ImageBlock"
            )
        super().__init__(value, meta)


def _without_prefix(text: str) -> str:
    if text.startswith("data:") and "base64," in text:
        return text.partition("base64,")[2]
    return text


def as_images(images: object) -> list[ImageBlock | ImageUrlBlock] | None:
    """Return what a call was given as *images* as blocks; None for none.

    Raises:
        InvalidImage: it is no list, or an element is neither an image block nor a Pillow image.
    """
    if images is None:
        return None
    if not isinstance(images, list):
        raise InvalidImage(f"images should be a list or None, not {type(images).__name__}")
    return [_as_image(image, position) for position, image in enumerate(images)] or None


def _as_image(image: Any, position: int) -> ImageBlock | ImageUrlBlock:
    match image:
        case ImageBlock() | ImageUrlBlock():
            return image
        case _ if hasattr(image, "save") and hasattr(image, "mode"):
            return ImageBlock.from_pil_image(image)
        case _:
            raise InvalidImage(
                f"images[{position}] should be an ImageBlock, an ImageUrlBlock or a Pillow "
                f"image, not {type(image).__name__}"
            )
