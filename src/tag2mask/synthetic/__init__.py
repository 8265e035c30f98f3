"""Generated data: digit scenes, a land-cover world of 13 bands, thin defects."""
