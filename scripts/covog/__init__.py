"""CovOG, conversations generated from a reference picture, poses, sound and who speaks: model, training, generation."""
