"""How a case is found, run, read and exported. Plain Python: a layer runs without portal, database or broker."""
