"""The board in a browser, the JSON API, health and metrics."""
