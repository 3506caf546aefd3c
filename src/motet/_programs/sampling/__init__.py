"""Sampling: asking again until an answer meets its requirements, or asking many times.

result      what sampling leaves behind
base        the loop of attempts, and what all strategies have in common
feedback    what the model is told about an attempt that failed
strategies  how the next attempt differs from the last
voting      many independent attempts of which the best or the most common is taken
likeness    voting by how alike the answers are
run         a whole strategy as one generation with one thunk

Use the names that `motet` exports.
"""
