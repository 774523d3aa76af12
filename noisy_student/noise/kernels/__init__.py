"""The input noise compiled by Numba, pixel for pixel as Pillow does it.

Every operation repeats the arithmetic of Pillow 13 (types, order, rounding, treatment of borders), which the tests
compare with Pillow itself. An image is a flat uint8 array of H * W * 3 values, rows of RGB pixels, and stays in the
processor's cache while it is worked on: operations on single values work in place, those that move pixels write from
one of two buffers into the other. Nothing is checked here: the way in is `noisy_student.noise.engine.apply_draw`.

Indices are cast to unsigned (np.uintp) in inner loops: for signed ones Numba adds the test for negative
ones that Python needs, which keeps the compiler from working on many pixels at a time.
"""
