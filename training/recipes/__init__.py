"""How each model is trained: one file per recipe; the file's name is the recipe's."""
