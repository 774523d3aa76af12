"""What the batches of a training are made of."""

from noisy_student.data.views import at_size
from noisy_student.training.batches import Share
from noisy_student.training.examples import ConcatenatedExamples, LabelledExamples, PseudoLabelledExamples


def teacher_shares(training, labelled, *, classes):
    """What a teacher's batches are made of: labelled images only.

    Args:
        training: TrainingParams.
        labelled: LabelledImages.
        classes: number of classes.
    """
    examples = LabelledExamples(
        at_size(labelled.images, training.image_size),
        labelled.labels,
        classes=classes,
        smoothing=training.label_smoothing,
    )
    return [Share("labelled", examples, training.batch_size)]


def student_shares(student, labelled, *, unlabelled, probs, rows, kind, classes):
    """What a student's batches are made of, by `student.mix`.

    Args:
        student: StudentParams.
        labelled: LabelledImages.
        unlabelled: (M, H, W, 3) uint8, the pool.
        probs: (M, K) float32, the teacher's distributions.
        rows: (N,) rows of the pool chosen by balancing; not used with `mix: none`.
        kind: "soft" or "hard".
        classes: number of classes K.
    """
    shares = teacher_shares(student, labelled, classes=classes)
    if not student.uses_pseudo_labels:
        return shares
    images = at_size(unlabelled, student.image_size)
    pseudo = PseudoLabelledExamples(images, probs, rows, kind=kind, smoothing=student.label_smoothing)
    if student.mix == "pseudo":
        return [Share("pseudo", pseudo, student.batch_size)]
    if student.mix == "concat":
        both = ConcatenatedExamples([shares[0].examples, pseudo])
        return [Share("concatenated", both, student.batch_size)]
    return [*shares, Share("pseudo", pseudo, student.unlabelled_batch_size, student.unlabelled_weight)]
