"""``python -m farm.demo``: the main job on a real published model, through every real part."""
