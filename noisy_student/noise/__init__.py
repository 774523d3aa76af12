"""Input noise: batches of uint8 images (N, H, W, 3) in and out, random numbers from an explicit generator."""
