"""minigan.figures: the plots of a run, and animations of GANs on toy data with known density."""
