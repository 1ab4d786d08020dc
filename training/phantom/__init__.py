"""Synthetic chest CTs with exact truth."""
