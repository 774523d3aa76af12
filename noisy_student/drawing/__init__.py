"""Pictures: charts, and sheets of images."""
