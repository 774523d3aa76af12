"""Does self-training pay on the images of params.yaml?"""
