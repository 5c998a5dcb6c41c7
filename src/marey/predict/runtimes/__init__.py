"""What runs an artifact: one short file each, behind `predict.runtime.Runtime`. None but TensorRT's takes torch."""
