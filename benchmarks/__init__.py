"""Figures of the README, one module each; `make bench` prints them."""
