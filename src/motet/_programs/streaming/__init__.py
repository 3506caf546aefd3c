"""Replies that are cut into chunks and validated while they arrive.

events     what happens in a run, as data
log        what a run has to say, kept until its one reader comes for it
engine     one run, a step at a time: read, cut, validate, release
chunked    `stream_with_chunking`: a run that goes on by itself
streamer   `stream`: a run on its reader's own task

Use the names that `motet` exports.
"""
