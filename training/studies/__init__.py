"""The comparisons of the four papers, one file each; the file's name is what `triaged study` calls it."""
