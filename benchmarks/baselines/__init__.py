"""What the released codes do, written afresh from their description: the baselines of ``speed.py``."""
