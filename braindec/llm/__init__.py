"""Language models as sets of units: activations, scores of units and heads, interventions."""
