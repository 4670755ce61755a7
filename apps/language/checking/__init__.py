"""The checker in its parts: names, types and meaning of a tree, and the plan that comes of it.

findings    what is found, and how names are guessed
places      where an expression stands and what it sees there
expressions typing of expressions: literals, names, operators (operators), calls (calls, constants)
operations  one module a family: columns, joins, rows, grouping; `steps` puts them in a row
statements  header, parameters, sources and sinks (endpoints), expectations, tests (cases), usage
"""
