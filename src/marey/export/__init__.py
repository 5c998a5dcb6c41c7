"""From a trained model to an artifact: the graph, and the proof that it says the same."""
