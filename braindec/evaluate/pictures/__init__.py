"""Metrics of decoded images, one a file: what is compared, its versions, its chance level and what a blind predictor scores."""
