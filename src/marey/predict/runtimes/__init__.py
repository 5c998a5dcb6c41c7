"""What runs an artifact: one short file each, behind `marey.predict.runtime.Runtime`. None imports torch."""
