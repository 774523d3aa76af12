"""From a source of images to the splits that `prepare` writes."""
