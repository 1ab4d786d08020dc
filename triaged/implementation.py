"""Who we are on the wire and in file meta information (PS3.7 annex D.3.3.2, PS3.10 section 7.1)."""

from __future__ import annotations

from pydicom.uid import UID

from triaged import __version__

IMPLEMENTATION_CLASS_UID = UID("2.25.4263882729321359172245428479431997541")
IMPLEMENTATION_VERSION_NAME = f"TRIAGED_{__version__}"[:16]  # SH: at most 16 characters
