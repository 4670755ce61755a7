"""Docker as values: command lines that are built here and run elsewhere, and what the engine answers. Plain Python."""
