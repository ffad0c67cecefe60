"""Pairs of rows and columns whose costs are least in sum."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def assigned(cost: Float[np.ndarray, "R C"]) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """The rows, increasing, and their columns: as many pairs as fit, of the least summed cost; costs are finite.

    Shortest augmenting paths after Crouse (IEEE TAES 2016), step by step as SciPy's `linear_sum_assignment` takes them,
    so that of equally good answers it gives the same one. For tens of rows: it walks through Python.
    """
    assert np.isfinite(cost).all()
    if cost.shape[0] > cost.shape[1]:
        columns, rows = assigned(cost.T)
        order = rows.argsort()
        return rows[order], columns[order]
    count, width = cost.shape
    row_price, column_price = np.zeros(count), np.zeros(width)
    row_of, column_of = np.full(width, -1), np.full(count, -1)
    for start in range(count):
        reach, through = np.full(width, np.inf), np.full(width, -1)  # the cheapest way to each column, its last row
        waiting, seen = np.arange(width)[::-1], [start]
        row, length, end = start, 0.0, -1
        while end < 0:
            way = length + cost[row, waiting] - row_price[row] - column_price[waiting]
            shorter = way < reach[waiting]
            reach[waiting[shorter]], through[waiting[shorter]] = way[shorter], row
            length = float(reach[waiting].min())
            nearest = np.flatnonzero(reach[waiting] == length)
            free = nearest[row_of[waiting[nearest]] < 0]
            place = free[-1] if len(free) else nearest[0]  # SciPy's choice among equals
            column = int(waiting[place])
            waiting[place], waiting = waiting[-1], waiting[:-1]
            row = int(row_of[column])
            end = column if row < 0 else -1
            seen += [row] if row >= 0 else []
        others = np.array(seen[1:], dtype=int)
        row_price[start] += length
        row_price[others] += length - reach[column_of[others]]
        passed = np.append(column_of[others], end)
        column_price[passed] -= length - reach[passed]
        while True:  # backwards along the way, each row takes the column that it came by
            row = int(through[end])
            row_of[end] = row
            end, column_of[row] = int(column_of[row]), end
            if row == start:
                break
    return np.arange(count), column_of
