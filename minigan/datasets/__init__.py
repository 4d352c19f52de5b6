"""minigan.datasets: training images from IDX files, NumPy arrays or folders of pictures.

`load.load_dataset` reads all of these. The reading order is pixels, idx, images and load.
"""
