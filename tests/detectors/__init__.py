"""Claims about the detectors."""
