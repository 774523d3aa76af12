"""The figures of the pipeline: charts here, sheets of images in `galleries`. All are PNGs.

Equal input gives equal bytes (with one version of matplotlib).
"""

import numpy as np

from noisy_student.drawing.canvas import BLACK, BLUE, CYCLE, GREY, ORANGE, VERMILLION, png, shorten
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept

_MARKERS = "osD^vP*"


def confidence_histogram(path, probs, *, threshold, max_confidence=1.0, truth=None):
    """Draw how confident the teacher is on the unlabelled pool, with the threshold.

    Args:
        path: PNG to write.
        probs: (N, K) teacher distribution.
        threshold, max_confidence: of the images that are kept, see `guesses.is_kept`.
        truth: (N,) int classes, -1 where unknown; splits the bars into right and wrong.
    """
    predicted, confidence = best_guesses(probs)
    kept = is_kept(confidence, threshold, max_confidence)
    unknown = np.ones(len(probs), bool) if truth is None else truth < 0
    right = ~unknown & (predicted == truth)
    groups = (
        ("right", right, BLUE),
        ("wrong", ~unknown & ~right, VERMILLION),
        ("images" if truth is None else "truth unknown", unknown, GREY),
    )
    groups = [g for g in groups if g[1].any()]
    with png(path, width=7, height=4.3) as figure:
        axes = figure.add_subplot()
        axes.hist(
            [confidence[members] for _, members, _ in groups],
            bins=np.unique([*_edges(threshold), max_confidence]),
            stacked=True,
            color=[color for _, _, color in groups],
            label=[f"{name}: {m.sum():,} ({(m & kept).sum():,} kept)" for name, m, _ in groups],
            edgecolor="white",
            linewidth=0.4,
        )
        axes.axvline(threshold, color=BLACK, linestyle="--", label=f"threshold {threshold:g}")
        if max_confidence < 1:
            axes.axvline(max_confidence, color=BLACK, linestyle=":", label=f"at most {max_confidence:g}")
        axes.set_title(f"{kept.sum():,} of {len(probs):,} pseudo-labels kept ({kept.mean():.1%})", loc="left")
        axes.set(xlim=(0, 1), xlabel="confidence (highest probability)", ylabel="images")
        axes.grid(axis="y")
        figure.legend(loc="outside lower center", ncols=2)


def _edges(threshold, bins=40):
    """Edges of about `bins` bins of [0, 1], one of them the threshold: no bar is half kept."""
    below = min(round(threshold * bins), bins - 1)
    return np.unique([*np.linspace(0, threshold, below + 1), *np.linspace(threshold, 1, bins - below + 1)])


def confusion_matrix(path, matrix, class_names, title):
    """Draw a confusion matrix, coloured by the share of each true class, with the counts where they fit.

    Args:
        path: PNG to write.
        matrix: (K, K) int, rows: truth, columns: prediction.
        class_names: K names.
        title: the figure's title.
    """
    matrix = np.asarray(matrix)
    classes = len(matrix)
    total = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    side = float(np.clip(2.2 + 0.42 * classes, 3.6, 14))
    with png(path, width=side + 0.7, height=side) as figure:
        axes = figure.add_subplot()
        picture = axes.imshow(share, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
        figure.colorbar(picture, ax=axes, label="share of the true class", fraction=0.045, pad=0.02)
        names, size = [shorten(name) for name in class_names], 8 if classes <= 30 else 6
        axes.set_xticks(range(classes), names, rotation=90 if _long(names) else 0, fontsize=size)
        axes.set_yticks(range(classes), names, fontsize=size)
        axes.set(xlabel="predicted", ylabel="true")
        axes.set_title(f"{title}: {np.trace(matrix):,} of {matrix.sum():,} right", loc="left")
        if classes <= 25:
            for i, j in np.argwhere(matrix):
                color = "black" if share[i, j] > 0.5 else "white"
                axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=color, fontsize=8)


def _long(names):
    return len(names) > 25 or max(map(len, names)) > 4


def reliability_diagram(path, reliability_by_model):
    """Draw accuracy against confidence for each model, and how many images each bin holds.

    Args:
        path: PNG to write.
        reliability_by_model: model's name -> list of bins as of `metrics.reliability`.
    """
    with png(path, width=5.6, height=6.8) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
        for i, (name, bins) in enumerate(reliability_by_model.items()):
            color, marker = CYCLE[i % len(CYCLE)], _MARKERS[i % len(_MARKERS)]
            filled = [b for b in bins if b["count"]]
            images = sum(b["count"] for b in filled)
            error = sum(b["count"] * abs(b["accuracy"] - b["confidence"]) for b in filled) / images
            top.plot(
                [b["confidence"] for b in filled],
                [b["accuracy"] for b in filled],
                color=color,
                marker=marker,
                markersize=4.5,
                label=f"{name} (calibration error {error:.3f})",
            )
            edges = [b["lower"] for b in bins] + [bins[-1]["upper"]]
            bottom.stairs([b["count"] / images for b in bins], edges, color=color, linewidth=1.5)
        top.set(ylabel="accuracy", ylim=(-0.02, 1.02), xlim=(0, 1.01))
        top.set_title("Reliability", loc="left")
        figure.legend(loc="outside lower center")
        bottom.set(xlabel="confidence (highest probability)", ylabel="share of images", ylim=(0, None))
        top.grid()
        bottom.grid(axis="y")


def class_counts(path, before, after, class_names):
    """Draw how many pseudo-labelled images each class has before and after balancing.

    Args:
        path: PNG to write.
        before: (K,) int counts of the confident images.
        after: (K,) int counts of the chosen images, repeats included.
        class_names: K names.
    """
    classes, names = len(class_names), [shorten(name) for name in class_names]
    with png(path, width=float(np.clip(2 + 0.55 * classes, 5, 18)), height=4) as figure:
        axes = figure.add_subplot()
        place = np.arange(classes)
        for shift, values, color, name in ((-0.2, before, ORANGE, "before"), (0.2, after, BLUE, "after")):
            axes.bar(place + shift, values, 0.4, color=color, label=f"{name} balancing: {np.sum(values):,}")
        axes.set_xticks(place, names, rotation=90 if _long(names) else 0, fontsize=8 if classes <= 60 else 7)
        axes.set(xlim=(-0.6, classes - 0.4), ylabel="images")
        axes.set_title("Confident pseudo-labels by class", loc="left")
        axes.grid(axis="y")
        # above the axes: bars of any height stay visible
        figure.legend(loc="outside upper right", ncols=2)


def learning_curves(path, name, rows, *, best):
    """Draw loss and accuracy of one training over its steps, with the checkpoint that was kept.

    Args:
        path: PNG to write.
        name: of the training.
        rows: dicts with step, train_loss, validation_loss, train_accuracy, validation_accuracy.
        best: the row that was kept.
    """
    steps = [row["step"] for row in rows]
    with png(path, width=9, height=3.8) as figure:
        for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            for kind, color in (("train", ORANGE), ("validation", BLUE)):
                label = "training batches" if kind == "train" else "validation images"
                values = [row[f"{kind}_{quantity}"] for row in rows]
                axes.plot(steps, values, color=color, label=label)
            kept = best[f"validation_{quantity}"]
            axes.plot(best["step"], kept, "o", color=BLACK, label=f"kept: step {best['step']}")
            side = "right" if best["step"] == steps[-1] else "center"  # not over the edge
            axes.annotate(f"{kept:.4f}", (best["step"], kept), xytext=(0, 7), textcoords="offset points", ha=side)
            axes.set(xlabel="step", ylabel=quantity, ylim=(0, None))
            axes.grid()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.suptitle(name, x=0.01, ha="left")
