"""Generative functions: a signature and a docstring, and a model that does the rest.

function       what the function is called with, and what it returns
arguments      the arguments of one call, in words
call           one call as a component: what the model is told, and how the answer is read
preconditions  what the arguments must be like
stub           `generative` and what it makes of a function

Use the names that `motet` exports.
"""
