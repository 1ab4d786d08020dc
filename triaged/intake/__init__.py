"""PACS -> complete study: receive, keep, assemble, choose a series."""
