"""From a source of images to the arrays that every later stage reads."""
