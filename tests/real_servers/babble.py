"""
What the models that are written on the spot have to say, in whatever format.

Their weights are random. They babble, at the speed of a server and not of a model, and almost
never end by themselves. The words have no meaning; what a server does with tokens, slots and
connections is real.
"""

from typing import Final

_SYLLABLES: Final = ("ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "ve")

WORDS: Final = tuple(first + second for first in _SYLLABLES for second in _SYLLABLES)

# Nothing comes before the reply: what does, llama.cpp holds against the grammar of a format.
TEMPLATE: Final = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
)
