"""The commands of `triaged`, by who uses them: the site's administrators, and researchers."""
