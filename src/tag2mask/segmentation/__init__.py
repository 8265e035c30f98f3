"""Segmenters: segmentation networks trained on masks."""
