"""What a run is worth, for people: figures, tables for the terminal, and the one-file HTML report."""
