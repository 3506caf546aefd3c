"""
The main job of motet, ready to run: the feedback pipeline behind ``motet demo``.

Read `pipeline`: it is a whole program with motet, and the one to copy from. The other
modules are what any such program needs and have nothing to do with models:

    _items, _reading                        what is asked about, and files of it
    _rows                                   what became of each item
    _table, _report, _progress, _outlets    the results, for people and for programs
    _interrupts                             Ctrl-C
    _run                                    all of it together, from options to exit code
"""
