"""From raw videos to a labelled data set of people talking with each other."""
