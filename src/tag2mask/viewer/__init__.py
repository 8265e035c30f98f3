"""A local web application in which people look at masks and correct them."""
