"""The checker in its parts: names, types and meaning of a tree, and the plan that comes of it.

- findings: what is found, and how a wrong name is guessed; places: where an expression stands, and what it sees there
- expressions: literals, names and fns; beside it operators, calls, and constants (arguments that are written out)
- steps: operations in a row, of the families columns, joining and gathering
- header (with cron), parameters, endpoints (sources and sinks), expectations, cases (tests), usage (what is idle)
- flow: all of it, one after the other
"""
