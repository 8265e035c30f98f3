"""What runs several verbs one after another."""
