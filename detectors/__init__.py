"""Drift detectors: numbers in, numbers out."""
