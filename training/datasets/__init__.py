"""Where training data come from: one file per data set."""
