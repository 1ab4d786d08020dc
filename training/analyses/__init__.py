"""The papers' analyses beside their tables: what lesions are like, what a network looks at, whose label is doubtful."""
