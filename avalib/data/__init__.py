"""A data set's tables and label maps: the checks where they enter, and the class names."""
