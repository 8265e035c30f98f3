"""Generated data: digit scenes, land-cover tiles of 13 bands, thin surface defects."""
