"""Templates in the texts of users: a sandbox in which values are data."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet._language.text import check_template, check_variables, fill_in

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ x.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ x.append(1) }}",
    "{% for i in range(10000000) %}{% endfor %}",
    "{{ '{0.__class__.__mro__}'.format(x) }}",
]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hello {{name}}!", "Hello Ada!"),
        ("{{ name|upper }}", "ADA"),
        ("{% if missing %}a{% else %}b{% endif %}", "b"),
        ("[{{ missing }}]", "[]"),
        ("{{ '<&>' }}", "<&>"),
        ("line\n", "line"),
        ("line\n\n", "line\n"),
        ("{% for x in xs %}{{ x }},{% endfor %}", "1,2,"),
        ("", ""),
    ],
)
def test_a_template_is_filled_in(source: str, text: str) -> None:
    assert fill_in(source, {"name": "Ada", "xs": [1, 2]}, "description") == text


@pytest.mark.parametrize("value", ["{{ name }}", "{% raw %}", "{# #}", "{", "}}", "{%", "<b>&"])
def test_a_value_is_data(value: str) -> None:
    assert fill_in("{{x}}", {"x": value, "name": "no"}, "description") == value


@given(value=st.text())
def test_any_value_comes_through_as_it_is(value: str) -> None:
    assert fill_in("a{{x}}b", {"x": value}, "description") == f"a{value}b"


@pytest.mark.parametrize("source", ["{{", "{{ x", "{% if %}", "{% for %}", "{{ x | nofilter }}"])
def test_what_is_no_template_is_named(source: str) -> None:
    with pytest.raises(ValueError, match="prefix is not a valid template, line 2"):
        check_template(f"fine\n{source}", "prefix")
    with pytest.raises(ValueError, match="prefix is not a valid template"):
        fill_in(source, {}, "prefix")


@pytest.mark.parametrize("source", ESCAPES)
def test_a_template_cannot_leave_the_sandbox(source: str) -> None:
    given = [0]
    with pytest.raises(ValueError, match="description cannot be rendered"):
        fill_in(source, {"x": given}, "description")
    assert given == [0]


@pytest.mark.parametrize(
    "source", ["{{ 1 / 0 }}", "{{ name + 1 }}", "{{ missing.a.b }}", "{{ name.a() }}"]
)
def test_a_template_that_fails_is_named(source: str) -> None:
    with pytest.raises(ValueError, match="description cannot be rendered"):
        fill_in(source, {"name": "Ada"}, "description")


@pytest.mark.parametrize("wrong", [None, 3, "x", ["x"], [("a", 1)]])
def test_variables_that_are_no_mapping_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="user_variables should be a mapping of names to values"):
        check_variables(wrong)


@pytest.mark.parametrize("wrong", [1, None, ("a",)])
def test_a_name_that_is_no_string_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="names in user_variables should be strings"):
        check_variables({"fine": 1, wrong: 2})
    check_variables({"any name": object()})
