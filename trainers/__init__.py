"""Trainers: `python -m trainers.NAME --flagfile=configs/NAME/PRESET.cfg`."""
