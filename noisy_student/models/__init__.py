"""Networks: how they are built, saved, loaded and summed up."""
