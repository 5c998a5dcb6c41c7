"""The verbs as functions: each takes a configuration, leaves a run folder and returns what it found."""
