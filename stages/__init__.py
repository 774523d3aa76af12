"""The pipeline's stages: thin scripts that read parameters and inputs, call the library, write outputs."""
