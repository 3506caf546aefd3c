"""Text blocks and images."""

import base64
from typing import Any, Final

import pytest

from motet import CBlock, ImageBlock, ImageUrlBlock, InvalidImage
from motet._language.blocks import as_images

PNG: Final = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"image").decode()


class Picture:
    """What is needed of a Pillow image."""

    mode = "RGB"

    def save(self, file: Any, kind: str) -> None:
        assert kind == "PNG"
        file.write(base64.b64decode(PNG))


@pytest.mark.parametrize("value", ["text", "", None, "{{braces}}"])
def test_a_block_holds_text(value: str | None) -> None:
    block = CBlock(value)
    assert block.value == value
    assert str(block) == (value or "")
    assert (block.meta, block.cache) == ({}, False)


def test_the_repr_shows_the_value_and_the_meta() -> None:
    assert repr(CBlock("a", {"b": 1})) == "CBlock(a, {'b': 1})"
    assert repr(CBlock(None)) == "CBlock(None, {})"


@pytest.mark.parametrize("wrong", [3, b"bytes", ["a"], object(), CBlock("a")])
def test_what_is_no_text_is_refused_at_once_and_later(wrong: Any) -> None:
    with pytest.raises(TypeError, match="value of a CBlock should be a string or None, not"):
        CBlock(wrong)
    block = CBlock("a")
    with pytest.raises(TypeError, match="value of a CBlock should be a string or None, not"):
        block.value = wrong
    assert block.value == "a"


def test_a_block_can_be_filled_later() -> None:
    block = CBlock(None, cache=True)
    block.value = "later"
    assert str(block) == "later"
    assert block.cache


@pytest.mark.parametrize("value", [PNG, PNG.rstrip("="), f"data:image/png;base64,{PNG}"])
def test_a_png_may_have_a_prefix_and_lack_padding(value: str) -> None:
    assert ImageBlock.is_valid_base64_png(value)
    block = ImageBlock(value, {"a": 1})
    assert block.value == value
    assert block.base64 == value.removeprefix("data:image/png;base64,")
    assert block.meta == {"a": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no base64!",
        base64.b64encode(b"GIF89a").decode(),
        "ä",
        None,
        3,
        b"x",
        "data:image/png,x",
    ],
)
def test_what_is_no_png_is_refused(wrong: Any) -> None:
    assert not ImageBlock.is_valid_base64_png(wrong)
    with pytest.raises(InvalidImage, match="should be a PNG as base64 text"):
        ImageBlock(wrong)


def test_an_invalid_image_is_both_errors_that_programs_expect() -> None:
    assert issubclass(InvalidImage, ValueError)
    assert issubclass(InvalidImage, AssertionError)


def test_an_image_is_made_from_a_picture() -> None:
    picture: Any = Picture()
    assert ImageBlock.pil_to_base64(picture) == PNG
    block = ImageBlock.from_pil_image(picture, {"a": 1})
    assert (block.value, block.meta) == (PNG, {"a": 1})
    assert repr(block) == f"ImageBlock({PNG[:20]}..., {{'a': 1}})"


@pytest.mark.parametrize("url", ["http://a/b.png", "https://a/b.png"])
def test_an_image_may_be_a_url(url: str) -> None:
    assert ImageUrlBlock(url).value == url


@pytest.mark.parametrize("wrong", ["ftp://a", "a.png", "", None, 3, "HTTP://a"])
def test_what_is_no_url_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="requires an http:// or https:// URL"):
        ImageUrlBlock(wrong)


def test_images_of_a_call_become_blocks_and_the_list_stays() -> None:
    block, url, picture = ImageBlock(PNG), ImageUrlBlock("http://a"), Picture()
    given = [block, url, picture]
    images = as_images(given)
    assert images is not None
    assert images[:2] == [block, url]
    assert images[2].value == PNG
    assert given == [block, url, picture]
    assert as_images(None) is as_images([]) is None


@pytest.mark.parametrize("wrong", ["x", (), ImageBlock(PNG), {}, 3])
def test_images_that_are_no_list_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidImage, match="images should be a list or None, not"):
        as_images(wrong)


@pytest.mark.parametrize("wrong", [PNG, CBlock("a"), None, 3, object()])
def test_an_element_that_is_no_image_is_named(wrong: Any) -> None:
    with pytest.raises(InvalidImage, match=r"images\[1\] should be an ImageBlock"):
        as_images([ImageBlock(PNG), wrong])
