"""The one path from a video to a prediction."""
