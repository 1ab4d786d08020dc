"""Findings -> order: urgency, due times, the reading list."""
