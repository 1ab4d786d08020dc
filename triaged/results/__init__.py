"""Findings -> DICOM objects -> PACS."""
