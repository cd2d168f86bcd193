"""The shoppers of an imaginary online shop, drawn from a seed: what is known of each, and what each bought next."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CATEGORIES = ["books", "electronics", "fashion", "garden", "sports", "toys"]
DEVICES = ["desktop", "mobile", "tablet"]
CHANNELS = ["search", "newsletter", "social", "direct"]

FAVOURED_BY = {  # how strongly a category draws shoppers with this trait, in the order of CATEGORIES
    "young": [-0.3, 1.1, 1.2, -1.2, 0.9, 0.1],
    "parent": [0.3, -0.2, 0.1, 0.3, 0.0, 2.0],
    "premium": [0.5, 0.9, 0.4, 0.2, -0.1, -0.4],
}


def draw(count: int, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """``count`` shoppers with mixed column types and some values missing, and the category each bought from next."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, count)
    parent = rng.random(count) < np.where((age > 26) & (age < 50), 0.55, 0.1)
    premium = rng.random(count) < 0.25
    leaning = rng.dirichlet(np.full(len(CATEGORIES), 0.6), count)
    views = rng.poisson(3 + 30 * leaning)
    bought = rng.binomial(views, 0.12)
    pull = 0.12 * views + 0.55 * bought + traits(age, parent, premium) + rng.gumbel(0, 0.7, views.shape)
    shoppers = pd.DataFrame(
        {
            "age": age,
            "premium_member": premium,
            "device": pd.Categorical(rng.choice(DEVICES, count, p=[0.35, 0.55, 0.1]), categories=DEVICES),
            "channel": pd.Categorical(rng.choice(CHANNELS, count), categories=CHANNELS),
            "last_category": pd.Categorical.from_codes(last_purchase(bought, rng), categories=CATEGORIES),
            "minutes_on_site": np.round(rng.gamma(2.0, 6.0, count) + views.sum(axis=1) * 0.2, 1),
            "average_order_eur": average_order(bought, premium, rng),
            **{f"views_{name}": views[:, i] for i, name in enumerate(CATEGORIES)},
            **{f"purchases_{name}": bought[:, i] for i, name in enumerate(CATEGORIES)},
        }
    )
    return shoppers, pd.Series(np.array(CATEGORIES)[pull.argmax(axis=1)], name="next_category")


def traits(age: NDArray[np.int64], parent: NDArray[np.bool_], premium: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How each shopper's traits pull towards each category."""
    held = {"young": age < 30, "parent": parent, "premium": premium}
    pulls = [np.outer(held[trait], weights) for trait, weights in FAVOURED_BY.items()]
    total: NDArray[np.float64] = np.sum(pulls, axis=0)
    return total


def last_purchase(bought: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The category of each shopper's last purchase; -1, missing, for one who never bought."""
    weights = bought + 1e-9
    drawn = (weights.cumsum(axis=1) / weights.sum(axis=1, keepdims=True) > rng.random((len(bought), 1))).argmax(axis=1)
    return np.where(bought.sum(axis=1) > 0, drawn, -1)


def average_order(
    bought: NDArray[np.int64], premium: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Euros an order; missing for one who never bought."""
    euros = np.round(rng.lognormal(3.4, 0.5, len(bought)) * np.where(premium, 1.6, 1.0), 2)
    return np.where(bought.sum(axis=1) > 0, euros, np.nan)
