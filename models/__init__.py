"""What the science is: volumes, networks, classical methods, bundles. Imports nothing of triaged or training."""
