"""
Measurements of motet against the field, in one run on one machine.

`python -m benchmarks` runs them; `README.md` beside this file tells what is measured
and how to read it. Nothing in here is imported by the library or by its tests.

    load_server     the model server, a process of its own
    _pacing         what a reply looks like; spoken by the server and by the clients
    _contenders     one client per library, each written the way its user would
    _processes      the server and the workers as child processes
    _worker         the child that takes one sample at a time
    _report         samples to rows, verdicts and tables
    p1_burst ...    one measurement each: `sample` runs in a worker, `measure` in the parent
"""
