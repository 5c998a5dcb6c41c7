"""Features over time to segments: networks, targets, losses, suppression, smoothing. Knows no video and no file."""
