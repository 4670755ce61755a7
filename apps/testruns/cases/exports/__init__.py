"""Results in the formats that other programs read. Pure functions: results and times in, text out."""
