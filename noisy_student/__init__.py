"""Noisy Student Training (Xie et al., arXiv:1911.04252) on Keras 3.

Importing this package pulls in neither a deep-learning framework nor DVC: import the module
that you need, for instance `noisy_student.pseudo_labels.balancing` or `noisy_student.models.build`.
"""
