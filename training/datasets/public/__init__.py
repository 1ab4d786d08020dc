"""Public data sets as they are distributed, one file each, and a researcher's own folder; `registry` lists them."""
